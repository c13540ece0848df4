/* admin_cache.c - what cached(…) keeps, by connection; an operator lets it go when reference data has changed. */
#include "admin_int.h"

int admin_cache(admin_query *q) {
  engine *e = q->ad->e;
  bool first = true;
  buf_puts(q->b, "[");
  for (uint32_t i = 0; i < e->nconns; i++) {
    const eng_conn *c = e->conns[i];
    engine_answers k;
    bool f = true;
    if (!engine_cache_of(e, c->name, &k) && !c->cache_hits && !c->cache_asked && !c->cache_stale) continue;
    buf_puts(q->b, first ? "{" : ",{");
    first = false;
    admin_text(q->b, &f, "connection", c->name, strlen(c->name));
    admin_number(q->b, &f, "answers", k.entries);
    admin_number(q->b, &f, "bytes", k.bytes);
    admin_time(q->b, &f, "oldest", k.oldest_us);
    admin_time(q->b, &f, "newest", k.newest_us);
    admin_number(q->b, &f, "hits", c->cache_hits);
    admin_number(q->b, &f, "asked", c->cache_asked);
    admin_number(q->b, &f, "joined", c->cache_joined);
    admin_number(q->b, &f, "stale", c->cache_stale);
    buf_puts(q->b, "}");
  }
  buf_puts(q->b, "]");
  return 200;
}

int admin_cache_clear(admin_query *q) {
  const char *name = admin_param(q, "connection");
  bool f = true;
  if (!name && !admin_param(q, "all")) return admin_error(q, 400, "say which connection, or all");
  if (name && !eng_conn_find(q->ad->e, name, strlen(name))) return admin_error(q, 404, "there is no connection %.60s", name);
  buf_puts(q->b, "{");
  admin_number(q->b, &f, "done", engine_cache_clear(q->ad->e, name));
  admin_number(q->b, &f, "refused", 0);
  buf_puts(q->b, "}");
  return 200;
}
