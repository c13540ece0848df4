/* gen_cap.c - NAME.capability.json: what `against` needs of a server's statement, small and in the order of the server: a CapabilityStatement again. */
#include "gen_int.h"
#include "json.h"

static void text(buf *b, str s) { json_write_str(b, s.p ? s.p : "", s.len); }

static void codes(gen *g, buf *b, val list) {
  bool first = true;
  buf_puts(b, "\"interaction\": [");
  for (uint32_t i = 0; i < list.len && gen_step(g); i++) {
    str code = gen_text(g, list.u.v[i], "code");
    if (!code.len) continue;
    buf_puts(b, first ? "{ \"code\": " : ", { \"code\": ");
    first = false;
    text(b, code);
    buf_puts(b, " }");
  }
  buf_putc(b, ']');
}

/* Members of a list, each with two texts, one a line. */
static void rows(gen *g, buf *b, const char *indent, const char *name, val list, const char *one, const char *two) {
  bool first = true;
  for (uint32_t i = 0; i < list.len && gen_step(g); i++) {
    str x = gen_text(g, list.u.v[i], one), y = two ? gen_text(g, list.u.v[i], two) : (str){0};
    if (!x.len) continue;
    if (first) buf_putf(b, ",\n%s\"%s\": [\n", indent, name);
    else buf_puts(b, ",\n");
    first = false;
    buf_putf(b, "%s  { \"%s\": ", indent, one);
    text(b, x);
    if (y.len) { buf_putf(b, ", \"%s\": ", two); text(b, y); }
    buf_puts(b, " }");
  }
  if (!first) buf_putf(b, "\n%s]", indent);
}

void gen_capability(gen *g, val rest, str version) {
  buf *b = &g->r->capability;
  val list = gen_list(rest, "resource");
  bool first = true;
  buf_puts(b, "{\n  \"resourceType\": \"CapabilityStatement\",\n  \"fhirVersion\": ");
  text(b, version);
  buf_puts(b, ",\n  \"rest\": [{\n    \"mode\": \"server\",\n    \"resource\": [\n");
  for (uint32_t i = 0; i < list.len && gen_step(g); i++) {
    val v = list.u.v[i];
    str type = gen_text(g, v, "type");
    if (!type.len) continue;
    buf_puts(b, first ? "      {\n        \"type\": " : ",\n      {\n        \"type\": ");
    first = false;
    text(b, type);
    buf_puts(b, ",\n        ");
    codes(g, b, gen_list(v, "interaction"));
    rows(g, b, "        ", "searchParam", gen_list(v, "searchParam"), "name", "type");
    rows(g, b, "        ", "operation", gen_list(v, "operation"), "name", NULL);
    buf_puts(b, "\n      }");
  }
  buf_puts(b, "\n    ],\n    ");
  codes(g, b, gen_list(rest, "interaction"));
  rows(g, b, "    ", "operation", gen_list(rest, "operation"), "name", NULL);
  buf_puts(b, "\n  }]\n}\n");
  if (b->status) gen_fail(g, (hdw_status)b->status, "the statement is too big");
}
