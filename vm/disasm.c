/* disasm.c - a module as readable text, derived from opcodes.def. */
#include "run.h"
#include <string.h>

typedef struct op_info { const char *name; char a, b, c, ext; } op_info;
static const op_info ops[OP_COUNT] = {
#define OPCODE(name, a, b, c, ext, doc) {#name, (#a)[0], (#b)[0], (#c)[0], (#ext)[0]},
#include "opcodes.def"
#undef OPCODE
};

static void put_const(const module *m, uint32_t k, buf *b) {
  if (k >= m->nconsts) { buf_putf(b, "K%u?", k); return; }
  val v = m->consts[k];
  char t[TM_TEXT_MAX + DEC_TEXT_MAX];
  switch (v.tag) {
    case VAL_EMPTY: buf_puts(b, "{}"); break;
    case VAL_BOOL: buf_puts(b, v.u.i ? "true" : "false"); break;
    case VAL_INT: buf_putf(b, "%lld", (long long)v.u.i); break;
    case VAL_LONG: buf_putf(b, "%lldL", (long long)v.u.i); break;
    case VAL_STR:
      buf_putc(b, '\'');
      for (uint32_t i = 0; i < v.len && i < 60; i++) {
        if ((unsigned char)v.u.s[i] < 32) buf_putf(b, "\\x%02x", (unsigned char)v.u.s[i]); else buf_putc(b, v.u.s[i]);
      }
      buf_puts(b, v.len > 60 ? "...'" : "'");
      break;
    case VAL_DEC: { dec d = val_get_dec(v); buf_put(b, t, dec_format(&d, t)); break; }
    case VAL_DATE: { tm_val x = val_get_time(v); buf_putc(b, '@'); buf_put(b, t, tm_format_date(&x, t)); break; }
    case VAL_DATETIME: { tm_val x = val_get_time(v); buf_putc(b, '@'); buf_put(b, t, tm_format_datetime(&x, t)); break; }
    case VAL_TIME: { tm_val x = val_get_time(v); buf_puts(b, "@T"); buf_put(b, t, tm_format_time(&x, t)); break; }
    case VAL_QTY: { const val_quantity *q = v.u.p; buf_put(b, t, dec_format(&q->value, t)); buf_putf(b, " '%.*s'", (int)q->unit_len, q->unit); break; }
    case VAL_LIST: buf_putf(b, "list of %u", v.len); break;
    case VAL_OBJ: buf_putf(b, "object of %u", v.len); break;
    default: buf_puts(b, val_type_name(v)); break;
  }
}

static void put_text(const module *m, uint32_t k, buf *b) {
  uint32_t n;
  const char *s = mod_text(m, k, &n);
  buf_put(b, s, n);
}

static void put_table(const module *m, char kind, uint32_t i, buf *b) {
  switch (kind) {
    case 'K': buf_putf(b, " k%u=", i); put_const(m, i, b); break;
    case 'F': buf_putf(b, " f%u=", i); put_text(m, m->funcs[i].name, b); break;
    case 'V': buf_putc(b, ' '); put_text(m, m->natives[i].name, b); buf_putf(b, "/%u", m->natives[i].nargs); break;
    case 'S':
      buf_puts(b, " {");
      for (uint32_t j = 0; j < m->shapes[i].n; j++) {
        if (j) buf_puts(b, ", ");
        put_text(m, m->keys[m->shapes[i].first + j].name, b);
      }
      buf_puts(b, "}");
      break;
    case 'C': buf_putc(b, ' '); put_text(m, m->checks[i].what, b); buf_puts(b, ": "); put_text(m, m->checks[i].type, b); break;
    case 'E':
      buf_putc(b, ' ');
      if (m->effects[i].conn != MOD_NO_INDEX) { put_text(m, m->effects[i].conn, b); buf_putc(b, ' '); }
      put_text(m, m->effects[i].op, b);
      buf_putf(b, "/%u site %u%s", m->effects[i].nargs, m->effects[i].site, m->effects[i].flags & MOD_EFFECT_SEND ? " send" : "");
      break;
    default: break;
  }
}

static uint32_t put_ins(const module *m, const mod_func *f, uint32_t at, buf *b) {
  const uint32_t *w = m->code + f->code + at;
  uint32_t ins = w[0], op = ins & 255;
  if (op >= OP_COUNT) { buf_putf(b, "    %4u  ? %08x\n", at, ins); return 1; }
  const op_info *o = &ops[op];
  bool wide = o->ext != '_';
  uint32_t ext = wide && at + 1 < f->words ? w[1] : 0;
  buf_putf(b, "    %4u  %-8s", at, o->name);
  if (o->a != '_') buf_putf(b, " r%u", (ins >> 8) & 255);
  if (o->c == '.') {
    if (o->b == 'J') buf_putf(b, " ->%d", (int)at + 1 + wide + (int16_t)(ins >> 16));
    else if (o->b == 'N') buf_putf(b, " %d", (int16_t)(ins >> 16));
    else put_table(m, o->b, ins >> 16, b);
  } else {
    if (o->b != '_') buf_putf(b, o->b == 'N' ? " %u" : " r%u", (ins >> 16) & 255);
    if (o->c == 'N' && (op == OP_ADDI || op == OP_SUBI || op == OP_MODI)) buf_putf(b, " %d", (int8_t)(ins >> 24));
    else if (o->c != '_') buf_putf(b, o->c == 'N' ? " %u" : " r%u", ins >> 24);
  }
  if (o->ext == 'D' || o->ext == 'I') {
    if (o->ext == 'I') buf_putf(b, " %d", (int16_t)ext);
    buf_putf(b, " ->%d", (int)at + 2 + (int16_t)(ext >> 16));
  } else if (o->ext == 'X') { put_table(m, 'V', ext & 0xffff, b); put_table(m, 'K', ext >> 16, b);
  } else if (wide) put_table(m, o->ext, ext, b);
  mod_debug d;
  if (mod_where(m, f->code + at, &d) && d.word == f->code + at) buf_putf(b, "   ; %u:%u", d.line, d.col);
  buf_putc(b, '\n');
  return 1u + wide;
}

/* m must be verified: table operands are used without further checks. */
void mod_disasm(const module *m, buf *b) {
  buf_puts(b, "module ");
  for (int i = 0; i < MOD_ID_BYTES; i++) buf_putf(b, "%02x", m->id[i]);
  buf_putf(b, "\n  %zu bytes, %u constants, %u functions, %u words of code, %u imports, %u effects\n", m->len_bytes, m->nconsts, m->nfuncs, m->ncode, m->nnatives,
           m->neffects);
  for (uint32_t i = 0; i < m->nfuncs; i++) {
    const mod_func *f = &m->funcs[i];
    buf_putf(b, "\n  f%u ", i);
    put_text(m, f->name, b);
    buf_putf(b, ": %u parameters, %u registers, %u words\n", f->params, f->regs, f->words);
    for (uint32_t at = 0; at < f->words;) at += put_ins(m, f, at, b);
  }
  buf_puts(b, "\n  meta ");
  buf_put(b, m->meta, m->meta_len);
  buf_putc(b, '\n');
}
