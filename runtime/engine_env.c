/* engine_env.c - what programs may ask of their surroundings: settings as bound by the operator, and the ambient object `run`. */
#include "engine_int.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static hdw_status setting(vm_cx *cx, const char *name, size_t len, val *out) {
  engine *e = (engine *)cx->user;
  char key[128];
  *out = VAL_NONE;
  if (len >= sizeof key) return HDW_OK;
  memcpy(key, name, len);
  key[len] = 0;
  const config_setting *s = config_find_setting(e->o.config, key);
  if (s && s->value.tag != VAL_EMPTY) return val_norm(cx->a, s->value, out);
  for (uint32_t i = 0; i < e->napps; i++) {
    const meta *m = &e->apps[i]->meta;
    if (e->apps[i]->retired) continue;
    for (uint32_t k = 0; k < m->nsettings; k++)
      if (strcmp(m->settings[k].name, key) == 0) return val_norm(cx->a, e->apps[i]->settings ? e->apps[i]->settings[k] : m->settings[k].def, out);
  }
  return HDW_OK;
}

/* A run sees the settings of the deployment that it is pinned to, whatever changed since. */
static hdw_status setting_of_run(vm_cx *cx, const char *name, size_t len, val *out) {
  const eng_run *r = (const eng_run *)((const char *)cx - offsetof(eng_run, cx));
  const eng_app *app = r->app;
  for (uint32_t i = 0; app->settings && i < app->meta.nsettings; i++)
    if (strlen(app->meta.settings[i].name) == len && !memcmp(app->meta.settings[i].name, name, len)) return val_norm(cx->a, app->settings[i], out);
  return setting(cx, name, len, out);
}

/* {id, workflow, identity}: id is the number that `hdwvm run` takes; identity is who the peer was found to be (H-12), and is not there when nobody asked. */
static hdw_status run_object(vm_cx *cx, val *out) {
  const eng_run *r = (const eng_run *)((const char *)cx - offsetof(eng_run, cx));
  val *kv = (val *)arena_alloc(cx->a, 6 * sizeof *kv);
  char *id = (char *)arena_alloc(cx->a, 24);
  if (!kv || !id) return HDW_E_NOMEM;
  int n = snprintf(id, 24, "%llu", (unsigned long long)r->id);
  kv[0] = val_key("id", 2);
  kv[1] = val_str(id, (size_t)n);
  kv[2] = val_key("workflow", 8);
  kv[3] = val_cstr(r->wf ? r->wf->name : "");
  kv[4] = val_key("identity", 8);
  kv[5] = r->peer ? val_cstr(r->peer) : VAL_NONE;
  *out = (val){.tag = VAL_OBJ, .len = r->peer ? 3 : 2, .u.v = kv};
  return HDW_OK;
}

/* In a gate there is no run yet: who the peer is is known all the same. */
static hdw_status gate_object(vm_cx *cx, val *out) {
  const engine *e = (const engine *)cx->user;
  if (!e->peer) return HDW_OK;
  val *kv = (val *)arena_alloc(cx->a, 2 * sizeof *kv);
  if (!kv) return HDW_E_NOMEM;
  kv[0] = val_key("identity", 8);
  kv[1] = val_cstr(e->peer);
  *out = (val){.tag = VAL_OBJ, .len = 1, .u.v = kv};
  return HDW_OK;
}

const vm_env eng_env_gate = {.setting = setting, .run = gate_object};
const vm_env eng_env_run = {.setting = setting_of_run, .run = run_object};
