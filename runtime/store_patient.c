/* store_patient.c - the index by patient identifier.
 *
 * Keyed hashes are in no order, so in one large index each new key would touch a page of its own, and a commit would write one for every message. Hence the
 * index is made anew for every EPOCH sequences of the log: what comes now goes into few pages, however much is stored. Whoever looks goes through the epochs, one
 * look each, in the order of the ids. */
#include "store_int.h"

enum { EPOCH_BITS = 15 };

static uint64_t epoch_of(uint64_t id) { return id >> EPOCH_BITS; }

static void put_place(skey *k, uint16_t part, uint64_t epoch, const uint8_t hash[STORE_SIP]) {
  skey_begin(k, part, T_BY_PATIENT);
  cod_put_be16(&k->w, (uint16_t)(epoch >> 32));
  cod_put_be16(&k->w, (uint16_t)(epoch >> 16));
  cod_put_be16(&k->w, (uint16_t)epoch);
  cod_put_raw(&k->w, hash, STORE_SIP);
}

void key_patient(skey *k, uint16_t part, const uint8_t hash[STORE_SIP], uint64_t id) {
  put_place(k, part, epoch_of(id), hash);
  cod_put_be64(&k->w, id);
}

/* What a key of the index says. */
typedef struct place {
  uint64_t epoch, id;
  const uint8_t *hash;
} place;

static bool read_place(cod_r *r, place *p) {
  p->epoch = (uint64_t)cod_get_be16(r) << 32;
  p->epoch |= (uint64_t)cod_get_be16(r) << 16;
  p->epoch |= cod_get_be16(r);
  p->hash = r->p;
  uint8_t skipped[STORE_SIP];
  cod_get_raw(r, skipped, sizeof skipped);
  p->id = cod_get_be64(r);
  return cod_done(r);
}

/* From another's key: on to the patient's place in the same epoch, or in the next one when we are past it. False: there is no next one. */
static bool seek(sit *i, uint16_t part, const place *at, const uint8_t hash[STORE_SIP]) {
  skey k HDW_UNSET;
  int c = memcmp(at->hash, hash, STORE_SIP);
  bool past = i->desc ? c < 0 : c > 0;
  if (past && i->desc && !at->epoch) return false;
  put_place(&k, part, !past ? at->epoch : i->desc ? at->epoch - 1 : at->epoch + 1, hash);
  if (i->desc) cod_put_be64(&k.w, UINT64_MAX);
  sit_seek(i, &k);
  return true;
}

hdw_status store_list_patient(store *s, uint16_t part, cod_str key, uint64_t after, bool desc, unsigned limit, store_id_cb cb, void *user) {
  uint8_t hash[STORE_SIP];
  skey prefix HDW_UNSET, from HDW_UNSET;
  sit i HDW_UNSET;
  place at;
  cod_siphash128(s->hash_key, key.p, key.len, hash);
  skey_begin(&prefix, part, T_BY_PATIENT);
  if (after) key_patient(&from, part, hash, desc ? after - 1 : after + 1);
  sit_begin(&i, s, &prefix, after ? &from : NULL, desc);
  if (!limit) limit = UINT32_MAX;
  while (limit && sit_next(&i)) {
    if (!read_place(&i.key, &at)) {
      i.status = HDW_E_CORRUPT;
      break;
    }
    if (memcmp(at.hash, hash, STORE_SIP)) {
      if (!seek(&i, part, &at, hash)) break;
      continue;
    }
    limit--;
    if (!cb(part, at.id, 0, user)) break;
  }
  sit_end(&i);
  return i.status;
}
