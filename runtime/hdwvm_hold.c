/* hdwvm_hold.c - what commands give up before they read what others made: stores and backups, modules, answers of a daemon (hdwvm_sandbox.h).
 *
 * The row of a command in hv_commands says what it goes on needing; everything else that it may open stands in its arguments. `sandbox: off` in hdw.json holds
 * for commands, too. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "hdwvm.h"
#include "hdwvm_sandbox.h"
#include "json.h"
#include "meta.h"
#include "points.h"

static bool there(const char *path) { return path && *path && strcmp(path, "-") != 0 && access(path, F_OK) == 0; }

/* The option of hdw.json; what is wrong with the file the command says. */
static void wish(const hv_args *a, arena *ar, char out[16]) {
  const char *file = a->config ? a->config : "hdw.json";
  json_reader r;
  val v = VAL_NONE;
  size_t n = 0;
  char *text = there(file) && access(file, R_OK) == 0 ? hv_read(ar, file, &n) : NULL;
  if (!text) return;
  json_reader_init(&r, ar->mem);
  (void)json_read(&r, ar, text, n, NULL, &v, NULL);
  json_reader_free(&r);
  const char *s = jv_text(ar, jv_get(v, "sandbox"));
  if (s) snprintf(out, 16, "%.15s", s);
}

/* A state file is read with the lock file of LMDB beside it, which its readers write to. */
static bool note_data(sandbox *s, const char *dir, bool write) {
  char state[1200], lock[1200];
  snprintf(state, sizeof state, "%.1100s/state.mdb", dir);
  snprintf(lock, sizeof lock, "%.1100s/state.mdb-lock", dir);
  bool locked = access(lock, F_OK) == 0;
  return sandbox_folder(s, dir, write || (!locked && access(state, F_OK) == 0)) && (write || !locked || sandbox_folder(s, lock, true));
}

bool hv_hold(const hv_args *a, unsigned what) {
  static sandbox s;
  io_mem heap;
  arena ar;
  char want[16] = "on", admin[200];
  if (s.held) return true; /* follow, when it goes on as promote */
  io_mem_init(&heap, 0);
  arena_init(&ar, &heap.m, 0);
  wish(a, &ar, want);
  bool ok = true, off = !strcmp(want, "off");
  const char *read_only[] = {there("hdw.json") && !a->config ? "hdw.json" : a->config, a->with, a->token_file, a->ca, a->from};
  for (size_t i = 0; ok && i < sizeof read_only / sizeof *read_only; i++) ok = sandbox_folder(&s, read_only[i], false);
  for (int i = 0; ok && i < a->nwords; i++) ok = sandbox_folder(&s, a->words[i], false);
  if (ok && (what & HOLD_TO)) ok = sandbox_folder(&s, a->to, true);
  if (ok && !off && (a->data || !a->config || there(a->config))) ok = note_data(&s, hv_data_dir(a, &ar, admin), (what & HOLD_DATA) != 0);
  arena_free(&ar);
  if (off) return true;
  if (!ok) s.why_files = "the arguments name too many paths";
  else (void)sandbox_files(&s);
  sandbox_descriptors();
  (void)sandbox_calls(&s, SANDBOX_TOOL | (what & HOLD_NET ? SANDBOX_NET : 0u));
  HDW_POINT("hold.done");
  bool all = s.held == (SANDBOX_FILES | SANDBOX_CALLS);
  if (!all && !strcmp(want, "require")) hv_say("sandbox: %s, and hdw.json demands it (sandbox: require)", s.why_files ? s.why_files : s.why_calls);
  if (all && (what & HOLD_SAY)) hv_say("held by landlock (ABI %d) and seccomp (%u system calls)", s.landlock_abi, s.calls);
  else if (what & HOLD_SAY) hv_say("not held by %s: %s", s.why_files ? "landlock" : "seccomp", s.why_files ? s.why_files : s.why_calls);
  return all || strcmp(want, "require") != 0;
}
