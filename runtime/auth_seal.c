/* auth_seal.c - tokens at rest: sealed with a key that lies beside the store and never in it, or is a secret of the operator (auth_key). A copy of the log or of the state alone opens nothing; without the
 * key (a restored backup, a promoted standby) the sealed token is worth nothing and another one is asked for. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include "auth_token.h"

enum { NONCE = 12, TAG = 16 };

static hdw_status make_key(engine *e, eng_seal *s, const char *path) {
  char tmp[4200];
  int fd;
  snprintf(tmp, sizeof tmp, "%.4100s.tmp", path);
  io_random(e->io, s->key, sizeof s->key);
  hdw_status st = io_open(e->io, tmp, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd);
  if (st) return st;
  st = io_pwrite(e->io, fd, s->key, sizeof s->key, 0);
  if (!st) st = io_sync(e->io, fd);
  io_fclose(e->io, fd);
  if (!st) st = io_rename(e->io, tmp, path);
  return st ? st : io_sync_dir(e->io, e->o.dir);
}

/* The operator's own: any text of 32 bytes and more. */
static hdw_status of_secret(engine *e, eng_seal *s) {
  static const char label[] = "hdw auth.key 1";
  const config_secret *k = config_find_secret(e->o.config, e->o.config->top.auth_key);
  if (!k || !k->value || k->value_len < sizeof s->key) return HDW_E_NOTFOUND;
  return HMAC(EVP_sha256(), k->value, (int)k->value_len, (const uint8_t *)label, sizeof label - 1, s->key, NULL) ? HDW_OK : HDW_E_NOMEM;
}

static hdw_status of_file(engine *e, eng_seal *s, const char *path) {
  int fd;
  size_t got = 0;
  io_stat_info info;
  hdw_status st = io_open(e->io, path, IO_O_READ, &fd);
  if (st == HDW_E_NOTFOUND) return make_key(e, s, path);
  if (st) return st;
  st = io_pread(e->io, fd, s->key, sizeof s->key, 0, &got);
  io_fclose(e->io, fd);
  if (!st && got != sizeof s->key) st = HDW_E_CORRUPT;
  if (!st) st = io_stat(e->io, path, &info);
  if (!st && info.mode & 077) st = HDW_E_DENIED;
  return st == HDW_E_CORRUPT ? make_key(e, s, path) : st;
}

static hdw_status load(engine *e, eng_seal *s) {
  char path[4200];
  if (s->ready) return HDW_OK;
  if (s->failed) return HDW_E_IO;
  bool own = e->o.config && e->o.config->top.auth_key[0];
  snprintf(path, sizeof path, "%.4000s/auth.key", e->o.dir);
  hdw_status st = own ? of_secret(e, s) : of_file(e, s, path);
  s->ready = !st;
  s->failed = st != HDW_OK;
  if (st) {
    OPENSSL_cleanse(s->key, sizeof s->key);
    eng_say(e, ENGINE_WARN, "auth_key", "key", own ? e->o.config->top.auth_key : path, "error", hdw_status_text(st), "effect", "tokens are not kept over a restart", NULL);
  }
  return st;
}

hdw_status eng_seal_name(engine *e, eng_seal *s, const uint8_t key[TOKEN_KEY], char out[SEAL_NAME]) {
  uint8_t mac[EVP_MAX_MD_SIZE];
  hdw_status st = load(e, s);
  if (st) return st;
  if (!HMAC(EVP_sha256(), s->key, sizeof s->key, key, TOKEN_KEY, mac, NULL)) return HDW_E_NOMEM;
  eng_hex(mac, SEAL_NAME / 2, out);
  return HDW_OK;
}

hdw_status eng_seal_put(engine *e, eng_seal *s, const char *name, const void *p, size_t len, uint8_t *out) {
  int n = 0, m = 0;
  hdw_status st = load(e, s);
  if (st) return st;
  EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
  if (!x) return HDW_E_NOMEM;
  io_random(e->io, out, NONCE);
  bool ok = EVP_EncryptInit_ex(x, EVP_aes_256_gcm(), NULL, s->key, out) == 1 && EVP_EncryptUpdate(x, NULL, &n, (const uint8_t *)name, (int)strlen(name)) == 1 &&
            EVP_EncryptUpdate(x, out + NONCE, &n, (const uint8_t *)p, (int)len) == 1 && EVP_EncryptFinal_ex(x, out + NONCE + n, &m) == 1 &&
            EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_GCM_GET_TAG, TAG, out + NONCE + len) == 1;
  EVP_CIPHER_CTX_free(x);
  return ok ? HDW_OK : HDW_E_NOMEM;
}

hdw_status eng_seal_get(engine *e, eng_seal *s, const char *name, const uint8_t *p, size_t len, void *out) {
  int n = 0, m = 0;
  uint8_t tag[TAG];
  if (len < SEAL_OVERHEAD) return HDW_E_CORRUPT;
  hdw_status st = load(e, s);
  if (st) return st;
  size_t plain = len - SEAL_OVERHEAD;
  memcpy(tag, p + NONCE + plain, TAG);
  EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
  if (!x) return HDW_E_NOMEM;
  bool ok = EVP_DecryptInit_ex(x, EVP_aes_256_gcm(), NULL, s->key, p) == 1 && EVP_DecryptUpdate(x, NULL, &n, (const uint8_t *)name, (int)strlen(name)) == 1 &&
            EVP_DecryptUpdate(x, (uint8_t *)out, &n, p + NONCE, (int)plain) == 1 && EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 &&
            EVP_DecryptFinal_ex(x, (uint8_t *)out + n, &m) == 1;
  EVP_CIPHER_CTX_free(x);
  if (!ok) OPENSSL_cleanse(out, plain);
  return ok ? HDW_OK : HDW_E_CORRUPT;
}
