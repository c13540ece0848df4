/* vm_slow_ops.h - the instructions of vm_slow.c, and who goes on. Included there. */

static void native(now *n, uint32_t a, uint32_t i, const val *args, uint32_t k) {
  val out = VAL_NONE;
  if (i >= n->s->m->nnatives || n->s->m->natives[i].nargs != k) { broken(n, "native", i); return; }
  if (n->stop != STEP || !tick(n)) return;
  said(n, n->s->bound[i](n->s->cx, args, k, &out));
  wr(n, a, out);
}

static void loops(now *n, vm_op op, uint32_t a) {
  if (op == OP_ITER) {
    val v = rd(n, n->ins >> 16 & 255);
    wr(n, a, v);
    wr(n, a + 1, val_int(0));
    if (a + 3 >= regs_of(n)) broken(n, "a loop at register", a);
    return;
  }
  val x = rd(n, a), y = rd(n, a + 1);
  if (n->stop != STEP || !tick(n)) return;
  if (op == OP_NEXT) {
    if (y.tag != VAL_INT || y.u.i < 0 || y.u.i >= count(x)) { jump(n, sbx(n), false); return; }
    wr(n, a + 2, item(x, (uint32_t)y.u.i));
    wr(n, a + 3, y);
    wr(n, a + 1, val_int(y.u.i + 1)); /* a list has fewer items than an Integer counts */
    return;
  }
  if (!whole(x) || !whole(y) || x.u.i > y.u.i) { jump(n, sbx(n), false); return; }
  val i = rd(n, a + 3);
  wr(n, a + 2, x);
  wr(n, a + 3, val_int(i.tag == VAL_INT && i.u.i < INT32_MAX ? i.u.i + 1 : 0));
  wr(n, a, number(x.tag == VAL_LONG, (__int128)x.u.i + 1));
}

static void builders(now *n, vm_op op, uint32_t a, uint32_t b) {
  if (op == OP_NEWB) {
    val_builder *p = room(n, 1, sizeof *p);
    if (p) wr(n, a, (val){.tag = VAL_BUILDER, .u.p = p});
    return;
  }
  val x = rd(n, op == OP_PUSH ? a : b), y = op == OP_PUSH ? rd(n, b) : VAL_NONE;
  if (n->stop != STEP) return;
  if (x.tag != VAL_BUILDER) { fault(n, HDW_E_TYPE, "no builder"); return; }
  val_builder *p = (val_builder *)(uintptr_t)x.u.p, copy = *p;
  if (op == OP_BUILD) { wr(n, a, val_build(&copy)); return; }
  n->s->cx->fuel -= count(y);
  said(n, val_push(n->s->cx->a, p, y));
}

static void journal(now *n, vm_op op, uint32_t a) {
  slow_thread *t = n->t;
  if (op == OP_PPUSH) {
    if (t->npath == VM_MAX_PATH) fault(n, HDW_E_LIMIT, "loops and actions are nested too deeply for the journal");
    else t->path[t->npath++] = (vm_path){n->ins >> 16, -1};
  } else if (op == OP_PINDEX) {
    val i = rd(n, a);
    if (n->stop != STEP) return;
    if (!t->npath || i.tag != VAL_INT) fault(n, HDW_E_TYPE, "no loop index");
    else t->path[t->npath - 1].index = i.u.i;
  } else if (t->npath) {
    t->npath--;
  }
}

static void lane(now *n, val v) {
  slow_thread *t = n->t; /* a branch's are its own and nobody's: gates have no branches */
  for (uint32_t i = 0; i < count(v) && n->stop == STEP; i++) {
    if (t->nlanes == VM_MAX_LANES) fault(n, HDW_E_LIMIT, "more than 16 lane keys");
    else t->lanes[t->nlanes++] = item(v, i);
  }
}

static void handlers(now *n, vm_op op, uint32_t a) {
  slow_thread *t = n->t;
  if (op == OP_TRY) {
    if (t->ntries == VM_MAX_TRIES) { fault(n, HDW_E_LIMIT, "error handlers are nested more than 64 deep"); return; }
    t->tries[t->ntries++] = (slow_try){t->nframes - 1, (uint32_t)((int64_t)n->next + sbx(n)), t->npath, t->ngroups, a};
  } else if (op == OP_ENDTRY) {
    if (t->ntries && t->tries[t->ntries - 1].frame == t->nframes - 1) t->ntries--;
  } else {
    val e = rd(n, a);
    if (n->stop == STEP && tick(n)) raise(n, e);
  }
}

static val concat(now *n, val x, val y) {
  int64_t fuel = n->s->cx->fuel;
  val v = operate(n, OP_CONCAT, x, y);
  if (x.tag == VAL_STR && y.tag == VAL_STR && x.len && y.len && (uint64_t)x.len + y.len < 1024) n->s->cx->fuel = fuel - (x.len + y.len) / 16;
  return v;
}

/* Comparisons, and those that jump when they are not true. */
static void comparison(now *n, vm_op op, uint32_t a, uint32_t b, uint32_t c) {
  static const vm_op of[] = {OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE};
  bool jumps = op >= OP_EQJ, with_number = op >= OP_EQIJ;
  vm_op what = with_number ? of[op - OP_EQIJ] : jumps ? of[op - OP_EQJ] : op;
  val x = rd(n, b), y = with_number ? val_int((int16_t)n->ext) : rd(n, c), v = compare(n, what, x, y);
  wr(n, a, v);
  if (jumps && !(v.tag == VAL_BOOL && v.u.i)) jump(n, (int16_t)(n->ext >> 16), false);
}

static void conditional(now *n, vm_op op, uint32_t a) {
  val v = rd(n, a);
  int x = op == OP_JMPE ? -(v.tag == VAL_EMPTY) : truth(n, v);
  if (op == OP_JMPT ? x == 1 : op == OP_JMPN ? x != 1 : op == OP_JMPF ? x == 0 : x == -1) jump(n, sbx(n), true);
}

static void execute(now *n) {
  uint32_t ins = n->ins, a = ins >> 8 & 255, b = ins >> 16 & 255, c = ins >> 24, bx = ins >> 16;
  int8_t imm = (int8_t)c;
  vm_op op = (vm_op)(ins & 255);
  val args[VM_MAX_NATIVE_ARGS];
  switch (op) {
    case OP_NOP: break;
    case OP_MOVE: wr(n, a, rd(n, b)); break;
    case OP_LOADK: wr(n, a, constant(n, bx)); break;
    case OP_LOADKX: wr(n, a, constant(n, n->ext)); break;
    case OP_LOADI: wr(n, a, val_int(sbx(n))); break;
    case OP_LOADB: wr(n, a, val_bool(b == 1)); break;
    case OP_EMPTY: wr(n, a, VAL_NONE); break;
    case OP_MEMBER: wr(n, a, member(n, rd(n, b), constant(n, n->ext))); break;
    case OP_INDEX: {
      val v = rd(n, b), i = rd(n, c);
      if (i.tag != VAL_EMPTY && !whole(i) && n->stop == STEP) fault(n, HDW_E_TYPE, "an index is a whole number");
      wr(n, a, whole(i) && i.u.i >= 0 && i.u.i < count(v) ? item(v, (uint32_t)i.u.i) : VAL_NONE);
      break;
    }
    case OP_ADD: case OP_SUB: case OP_MUL: case OP_DIV: case OP_IDIV: case OP_MOD: wr(n, a, arithmetic(n, op, rd(n, b), rd(n, c))); break;
    case OP_ADDI: wr(n, a, arithmetic(n, OP_ADD, rd(n, b), val_int(imm))); break;
    case OP_SUBI: wr(n, a, arithmetic(n, OP_SUB, rd(n, b), val_int(imm))); break;
    case OP_MODI: wr(n, a, arithmetic(n, OP_MOD, rd(n, b), val_int(imm))); break;
    case OP_CONCAT: wr(n, a, concat(n, rd(n, b), rd(n, c))); break;
    case OP_NEG: { val x = rd(n, b); wr(n, a, whole(x) ? number(x.tag == VAL_LONG, -(__int128)x.u.i) : operate(n, op, x, VAL_NONE)); break; }
    case OP_EQV: case OP_NEQV: case OP_IN: case OP_HAS: case OP_UNION: wr(n, a, operate(n, op, rd(n, b), rd(n, c))); break;
    case OP_AND: case OP_OR: case OP_XOR: case OP_IMPLIES: wr(n, a, logic(n, op, rd(n, b), rd(n, c))); break;
    case OP_NOT: { int x = truth(n, rd(n, b)); wr(n, a, x < 0 ? VAL_NONE : val_bool(!x)); break; }
    case OP_JMP: jump(n, sbx(n), true); break;
    case OP_JMPT: case OP_JMPN: case OP_JMPF: case OP_JMPE: conditional(n, op, a); break;
    case OP_ITER: case OP_NEXT: case OP_RANGE: loops(n, op, a); break;
    case OP_NEWB: case OP_PUSH: case OP_BUILD: builders(n, op, a, b); break;
    case OP_LIST: wr(n, a, list(n, b, c)); break;
    case OP_TPL: template(n, a, b, c); break;
    case OP_TEXT: { val v = rd(n, b); wr(n, a, v.tag == VAL_TPL ? operate(n, op, v, VAL_NONE) : v); break; }
    case OP_OBJ: wr(n, a, object(n, n->ext, b)); break;
    case OP_CHECK: check(n, n->ext, a); break;
    case OP_CALL: call(n, a, bx); break;
    case OP_NATIVE:
      if (bx >= n->s->m->nnatives) { broken(n, "native", bx); break; }
      for (uint32_t i = 0; i < n->s->m->natives[bx].nargs; i++) args[i] = rd(n, a + i);
      native(n, a, bx, args, n->s->m->natives[bx].nargs);
      break;
    case OP_NATIVEK:
      args[0] = rd(n, b);
      args[1] = constant(n, n->ext >> 16);
      native(n, a, n->ext & 0xffff, args, 2);
      break;
    case OP_RET: ret(n, rd(n, a)); break;
    case OP_GATE: if (n->s->is_gate) { n->s->gate_reached = true; n->stop = STOP_DONE; } break;
    case OP_LANE: lane(n, rd(n, a)); break;
    case OP_ONCE: n->t->once[0] = rd(n, a); n->t->once[1] = rd(n, b); break;
    case OP_EFFECT: effect(n, a, bx); break;
    case OP_TRY: case OP_ENDTRY: case OP_RAISE: handlers(n, op, a); break;
    case OP_PPUSH: case OP_PINDEX: case OP_PPOP: journal(n, op, a); break;
    case OP_PAR: par(n, rd(n, a)); break;
    case OP_FORK: fork_branch(n); break;
    case OP_BEND: branch_end(n, a, b, c); break;
    case OP_JOIN: join(n, a); break;
    case OP_OUTCOME:
      n->t->args[0] = rd(n, a), n->t->args[1] = rd(n, a + 1);
      n->t->outcome = bx;
      if (n->stop == STEP) n->stop = STOP_DONE;
      break;
    case OP_EQ: case OP_NE: case OP_LT: case OP_LE: case OP_GT: case OP_GE:
    case OP_EQJ: case OP_NEJ: case OP_LTJ: case OP_LEJ: case OP_GTJ: case OP_GEJ:
    case OP_EQIJ: case OP_NEIJ: case OP_LTIJ: case OP_LEIJ: case OP_GTIJ: case OP_GEIJ: comparison(n, op, a, b, c); break;
    case OP_REGION: region(n, a); break;
    case OP_RECYCLE: recycle(n, a); break;
    case OP_COUNT: break;
  }
}

/* One instruction of t. */
static step one(slow *s, slow_thread *t) {
  now n = {.s = s, .t = t, .f = frame_of(t)};
  const mod_func *g = &s->m->funcs[n.f->func];
  uint32_t at = n.f->at, end = g->code + g->words;
  if (at < g->code || at >= end) { broken(&n, "stands at word", at); return n.stop; }
  n.ins = s->m->code[at];
  if ((n.ins & 255) >= OP_COUNT) { broken(&n, "opcode", n.ins & 255); return n.stop; }
  uint32_t words = mod_op_words(n.ins);
  n.next = at + words;
  if (n.next > end) { broken(&n, "an instruction cut off at word", at); return n.stop; }
  n.ext = words == 2 ? s->m->code[at + 1] : 0;
  s->steps++;
  execute(&n);
  if (n.stop == STOP_FAIL && !s->cx->err.line) {
    mod_debug d;
    if (mod_where(s->m, n.next - 1, &d)) s->cx->err.line = d.line;
  }
  bool again = n.stop == STOP_BLOCK, called = (n.ins & 255) == OP_CALL && n.stop == STEP; /* a call has noted where its caller goes on */
  if (!again && !called) n.f->at = n.next;
  return n.stop;
}

bool slow_start(slow *s, const module *m, const vm_host *host, const vm_native *bound, vm_cx *cx, uint32_t func, const val *args, uint32_t k) {
  memset(s, 0, sizeof *s);
  s->m = m, s->host = host, s->bound = bound, s->cx = cx;
  slow_thread *t = arena_zalloc(cx->a, 1, sizeof *t);
  now n = {.s = s, .t = t};
  if (!t || !push_frame(&n, t, func)) return false;
  for (uint32_t i = 0; i < k; i++) t->frames[0]->r[i] = args[i];
  s->threads[s->nthreads++] = t;
  return true;
}

slow_state slow_go(slow *s) {
  for (;;) {
    slow_thread *t = NULL;
    for (uint32_t i = 0; i < s->nthreads && !t; i++)
      if (s->threads[i]->stand == GOES) t = s->threads[i];
    if (!t) return SLOW_WAITING;
    uint64_t unique = s->cx->unique;
    if (t->parent) s->cx->unique = t->unique;
    step st = STEP;
    while (st == STEP) st = one(s, t);
    if (t->parent) t->unique = s->cx->unique, s->cx->unique = unique;
    if (st == STOP_BROKEN) return SLOW_BROKEN;
    if (st == STOP_OPEN) return SLOW_OPEN;
    if (st == STOP_MEMORY) return SLOW_MEMORY;
    if (st == STOP_FUEL || (st != STOP_FAIL && s->cx->fuel < 0)) return SLOW_FUEL;
    if (st == STOP_ASK) { t->stand = ASKS; s->asking = t; return SLOW_AWAIT; }
    if (st == STOP_BLOCK) { t->stand = BLOCKED; continue; }
    if (!t->parent) return st == STOP_DONE ? SLOW_DONE : SLOW_FAILED;
    branch_over(s, t, st == STOP_DONE);
  }
}

val slow_argument(const slow *s, uint32_t i) { return frame_of(s->asking)->r[s->asking->effect_reg + i]; }

void slow_resume(slow_thread *t, val result) {
  slow_frame *f = frame_of(t);
  f->r[t->effect_reg] = result;
  f->open[t->effect_reg] = false;
  t->stand = GOES;
}

bool slow_handles(const slow_thread *t) {
  for (; t; t = t->parent)
    if (t->ntries) return true;
  return false;
}

bool slow_throw(slow *s, slow_thread *t, val error) {
  if (unwind(s, t, error)) return true;
  if (!t->parent) return false;
  t->result = error;
  t->raised = true;
  branch_over(s, t, false);
  return true;
}
