/* engine_dry.c - what can be said about connections and certificates before anything is opened: serve --check. See engine.h. */
#include <stdio.h>
#include "engine_int.h"
#include "tls.h"

/* A certificate and key that do not fit would fail each call, or each client. */
static void certificates(const char *section, const char *name, const tls_opts *o, void (*say)(void *user, const char *text), void *user) {
  char why[160] = "", text[300];
  tls_ctx *t = NULL;
  hdw_status s = tls_ctx_new(o, &t, why, sizeof why);
  if (!s) {
    tls_ctx_free(t);
    return;
  }
  snprintf(text, sizeof text, "%s.%.80s: tls: %.160s", section, name, why[0] ? why : hdw_status_text(s));
  say(user, text);
}

hdw_status engine_check_bindings(io *x, const engine_opts *o, const meta *const *metas, uint32_t n, void (*say)(void *user, const char *text), void *user) {
  engine *e = (engine *)x->mem->get(x->mem, sizeof *e);
  if (!e) return HDW_E_NOMEM;
  memset(e, 0, sizeof *e);
  e->io = x, e->mem = x->mem, e->o = *o;
  e->closing = true; /* nothing starts */
  arena_init(&e->a, e->mem, 0);
  for (uint32_t i = 0; i < n; i++) {
    eng_app *app = (eng_app *)arena_zalloc(&e->a, 1, sizeof *app);
    for (uint32_t k = 0; app && k < metas[i]->nconns; k++) {
      char why[ENG_TEXT], text[ENG_TEXT + 100];
      eng_conn *c;
      if (!strcmp(metas[i]->conns[k].kind, "folder")) continue; /* would be made */
      app->e = e, app->meta = *metas[i];
      hdw_status s = eng_conn_setup(e, app, &metas[i]->conns[k], &c, why);
      if (!s) continue;
      snprintf(text, sizeof text, "connections.%.80s: %s", metas[i]->conns[k].name, why[0] ? why : hdw_status_text(s));
      say(user, text);
    }
  }
  for (uint32_t i = 0; i < o->config->nlisteners; i++) {
    const config_listener *l = &o->config->listeners[i];
    if (l->used && l->has_tls) certificates("listeners", l->name, &(tls_opts){.server = true, .cert_pem = l->cert_pem, .key_pem = l->key_pem, .ca_pem = l->client_ca_pem}, say, user);
  }
  for (uint32_t i = 0; i < e->nconns; i++) {
    const config_conn *c = e->conns[i]->cfg;
    if (c->has_tls && !e->conns[i]->tls) certificates("connections", c->name, &(tls_opts){.cert_pem = c->cert_pem, .key_pem = c->key_pem, .ca_pem = c->ca_pem}, say, user);
    eng_conn_close(e->conns[i]);
  }
  if (e->tokens_free) e->tokens_free(e);
  arena_free(&e->a);
  x->mem->put(x->mem, e, sizeof *e);
  return HDW_OK;
}
