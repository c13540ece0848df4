/* engine_sender.c - what a sender's declaration says about reading its messages: the character set of those without MSH-18, and the zone of local
 * times (H-37, H-41). Read when a module is loaded; applied at every parse, in the gate and in the run alike. */
#include "engine_int.h"
#include "zone.h"
#include <stdio.h>
#include <string.h>

struct eng_sender {
  charset_id charset;
  zone *zone;
  hl7_hooks hooks;
};

static bool zone_of(void *user, const tm_val *local, int16_t *zone_min) {
  *zone_min = zone_offset((const zone *)user, local);
  return true;
}

hdw_status eng_senders_load(engine *e, eng_app *app, mod_error *err) {
  uint32_t n = app->meta.nsenders;
  app->senders = (eng_sender *)arena_zalloc(&app->a, n + 1, sizeof *app->senders);
  if (!app->senders) return HDW_E_NOMEM;
  for (uint32_t i = 0; i < n; i++) {
    const meta_sender *m = &app->meta.senders[i];
    eng_sender *p = &app->senders[i];
    const char *charset = jv_text(&app->a, jv_get(m->args, "charset")), *place = jv_text(&app->a, jv_get(m->args, "zone"));
    if (charset) {
      p->charset = charset_find(charset, strlen(charset));
      if (!charset_supported(p->charset)) {
        snprintf(err->text, sizeof err->text, "sender %.60s: the character set '%.40s' is not known", m->name, charset);
        return err->status = HDW_E_INVALID;
      }
    }
    if (place) {
      hdw_status s = zone_load(e->io, &app->a, place, &p->zone);
      if (s) {
        snprintf(err->text, sizeof err->text, "sender %.60s: there is no time zone '%.60s'", m->name, place);
        return err->status = s;
      }
      p->hooks = (hl7_hooks){.zone = zone_of, .user = p->zone};
    }
    if (charset || place) app->has_senders = true;
  }
  return HDW_OK;
}

static bool one(engine *e, eng_app *app, arena *a, val message, const char *identity, hl7_opts *o) {
  for (uint32_t i = 0; app->has_senders && i < app->meta.nsenders; i++) {
    const eng_sender *p = &app->senders[i];
    if ((!p->charset && !p->zone) || !eng_sender_is(e, app, i, a, message, identity)) continue;
    if (p->charset) o->charset = p->charset;
    if (p->zone) o->hooks = &p->hooks;
    return true;
  }
  return false;
}

bool eng_sender_options(engine *e, eng_app *pinned, arena *a, val message, const char *identity, hl7_opts *o) {
  bool found = false, stands = false;
  for (uint32_t k = 0; k < e->napps; k++) stands |= pinned && !e->apps[k]->retired && !strcmp(e->apps[k]->name, pinned->name);
  if (pinned && !stands) found = one(e, pinned, a, message, identity, o); /* its module was withdrawn */
  for (uint32_t k = 0; k < e->napps && !found; k++) {
    eng_app *app = e->apps[k];
    if (app->retired) continue;
    found = one(e, pinned && !strcmp(app->name, pinned->name) ? pinned : app, a, message, identity, o);
  }
  return found;
}
