/* hdwvm_config.c - verify, config: what can be said about modules and hdw.json without a daemon. */
#include <stdio.h>
#include <string.h>
#include "engine.h"
#include "host.h"
#include "hdwvm.h"
#include "io.h"

/* ---- verify, config ------------------------------------------------------------------------------------------------------------------------- */

int hv_verify(const hv_args *a) {
  io_mem heap;
  int code = EXIT_OK;
  if (!a->nwords) {
    hv_say("verify needs a module");
    return EXIT_USAGE;
  }
  io_mem_init(&heap, 0);
  for (int i = 0; i < a->nwords; i++) {
    arena ar;
    size_t n;
    module m;
    meta mt;
    mod_error err = {.text = ""};
    const vm_native *bound;
    arena_init(&ar, &heap.m, 0);
    char *p = hv_read(&ar, a->words[i], &n);
    hdw_status s = p ? engine_check_module(&ar, &heap.m, host_get(), (const uint8_t *)p, n, &m, &mt, &bound, &err) : HDW_E_IO;
    if (s) code = EXIT_FINDINGS;
    if (a->json) printf("{\"file\":\"%s\",\"accepted\":%s,\"reason\":\"%s\"}\n", a->words[i], s ? "false" : "true", s ? err.text : "");
    else if (s && p) printf("%s: rejected: %s\n", a->words[i], err.text);
    else if (!s) printf("%s: accepted: %s, %u workflow%s, %u functions, %u effects\n", a->words[i], mt.name, mt.nworkflows, mt.nworkflows == 1 ? "" : "s", m.nfuncs, m.neffects);
    arena_free(&ar);
  }
  return code;
}

int hv_config(const hv_args *a) {
  io_mem heap;
  arena ar;
  buf b;
  const meta *metas[64];
  uint32_t n = 0;
  if (!a->nwords || (strcmp(a->words[0], "schema") && strcmp(a->words[0], "init") && strcmp(a->words[0], "check"))) {
    hv_say("config schema, config init or config check");
    return EXIT_USAGE;
  }
  if (!strcmp(a->words[0], "check")) {
    hv_args serve = *a;
    serve.check = true;
    serve.nwords--;
    memmove(serve.words, serve.words + 1, sizeof serve.words - sizeof *serve.words);
    return hv_serve(&serve); /* which gives up files when it has read secrets and certificates */
  }
  if (!hv_hold(a, 0)) return EXIT_FINDINGS;
  io_mem_init(&heap, 0);
  arena_init(&ar, &heap.m, 0);
  int code = EXIT_OK;
  for (int i = 1; i < a->nwords && n < 64; i++) {
    size_t len;
    mod_error err = {.text = ""};
    module *m = (module *)arena_zalloc(&ar, 1, sizeof *m);
    meta *mt = (meta *)arena_zalloc(&ar, 1, sizeof *mt);
    const vm_native *bound;
    char *p = hv_read(&ar, a->words[i], &len);
    if (!p || !m || !mt || engine_check_module(&ar, &heap.m, host_get(), (const uint8_t *)p, len, m, mt, &bound, &err)) {
      if (p) hv_say("%s: %s", a->words[i], err.text);
      code = EXIT_FINDINGS;
    } else metas[n++] = mt;
  }
  buf_init(&b, &ar, 16 << 20);
  if (!strcmp(a->words[0], "schema")) config_schema(&b, metas, n), buf_putc(&b, '\n');
  else config_skeleton(&b, metas, n);
  if (code == EXIT_OK && !b.status) fwrite(b.p, 1, b.len, stdout);
  arena_free(&ar);
  return code;
}
