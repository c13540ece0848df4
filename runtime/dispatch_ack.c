/* dispatch_ack.c - what answers mean to a sender: HL7 acknowledgements over MLLP and HTTP, and the operator's exceptions (H-19, H-20, H-49).
 *
 *   AA CA   done        AE CE   transient, ERR 206 too       AR CR   permanent
 * An ERR-3 code is more exact than MSA-1: an exception for it wins. What is no acknowledgement of ours is unknown, never sent. */
#include <stdio.h>
#include "engine_int.h"

eng_reaction eng_reaction_of(const eng_conn *c, const char *code, size_t len) {
  const config_list *l = &c->cfg->o.reactions;
  for (uint32_t i = 0; i < l->n; i++) {
    const char *eq = strchr(l->v[i], '=');
    if (!eq || (size_t)(eq - l->v[i]) != len || memcmp(l->v[i], code, len) != 0) continue;
    return !strcmp(eq, "=done") ? REACT_DONE : !strcmp(eq, "=retry") ? REACT_RETRY : REACT_DEAD;
  }
  return REACT_NONE;
}

static eng_reaction by_table(const char *code, const hl7_ack_info *ack) {
  if (code[1] == 'A') return REACT_DONE;
  for (uint32_t i = 0; i < ack->nerrors && i < 8; i++)
    if (ack->errors[i].code.len == 3 && !memcmp(ack->errors[i].code.p, "206", 3)) return REACT_RETRY; /* the record is locked: later it is not */
  return code[1] == 'E' ? REACT_RETRY : REACT_DEAD;
}

static eng_reaction react(const eng_conn *c, const hl7_ack_info *ack) {
  for (uint32_t i = 0; i < ack->nerrors && i < 8; i++) {
    eng_reaction r = eng_reaction_of(c, ack->errors[i].code.p, ack->errors[i].code.len);
    if (r != REACT_NONE) return r;
  }
  eng_reaction r = eng_reaction_of(c, ack->code, strlen(ack->code));
  return r != REACT_NONE ? r : by_table(ack->code, ack);
}

/* Codes of tables 0357 and 0008 only: nothing of the answer's free text may reach a log. */
static void error_code(const hl7_ack_info *ack, char out[24]) {
  out[0] = 0;
  if (!ack->nerrors || !ack->errors[0].code.len || ack->errors[0].code.len > 12) return;
  for (uint32_t i = 0; i < ack->errors[0].code.len; i++)
    if (ack->errors[0].code.p[i] < '0' || ack->errors[0].code.p[i] > '9') return;
  snprintf(out, 24, ", error %.*s", (int)ack->errors[0].code.len, ack->errors[0].code.p);
}

void eng_ack_judge(eng_call *call, const void *p, size_t len, const char *id, size_t id_len) {
  hl7_msg *msg;
  hl7_ack_info ack;
  char error[24];
  const char *copy = arena_dup(call->a, p, len);
  hl7_opts o = {.schema = call->e->o.schema};
  hdw_status s = copy ? hl7_parse(call->a, copy, len, &o, &msg, NULL) : HDW_E_NOMEM;
  if (!s) s = hl7_ack_read(msg, &ack);
  if (s || !ack.code[0] || !mllp_ack_is_for((const uint8_t *)p, len, id, id_len)) {
    eng_call_fail(call, FAIL_AMBIGUOUS, 0, "no_ack", s || !ack.code[0] ? "the answer is no acknowledgement" : "the answer acknowledges another message");
    return;
  }
  call->judged = true;
  error_code(&ack, error);
  switch (react(call->c, &ack)) {
  case REACT_DONE:
    call->ok = true;
    if (hl7_value(call->a, msg, &call->result)) call->result = VAL_NONE;
    return;
  case REACT_RETRY: eng_call_fail(call, FAIL_TRANSIENT, 0, ack.code, "the receiver answered %s%s", ack.code, error); return;
  default: eng_call_fail(call, FAIL_PERMANENT, 0, ack.code, "the receiver answered %s%s", ack.code, error);
  }
}

bool eng_ack_code(const void *answer, size_t len, char out[3]) {
  mllp_msa msa;
  out[0] = 0;
  if (!mllp_ack_msa(answer, len, &msa) || msa.code_len != 2) return false;
  out[0] = msa.code[0], out[1] = msa.code[1], out[2] = 0;
  return (out[0] == 'A' || out[0] == 'C') && (out[1] == 'A' || out[1] == 'E' || out[1] == 'R');
}
