/* dispatch_folder.c - files in a folder: write, append (builtins.def, kind folder).
 *
 * A file is complete or not there: written under another name, synced, renamed, and the folder synced. An appended line that did not get whole, or may be lost,
 * is taken back; when that cannot be, whether it stands there is unknown. After what a dead process left half-way the next one begins on a line of its own. Names
 * are single: nothing can leave the folder.
 * Whatever the folder itself refuses (it is not mounted, its rights were changed, the disk is full) is the operator's to repair: the queue waits for it. */
#include <stdio.h>
#include "engine_int.h"
#include "json.h"
#include "points.h"

static hdw_status folder_setup(engine *e, eng_conn *c, char text[ENG_TEXT]) {
  const char *p = c->cfg->o.folder[0] ? c->cfg->o.folder : jv_text(&e->a, jv_get(c->args, "path"));
  if (!p || !p[0]) {
    snprintf(text, ENG_TEXT, "folder: missing");
    return HDW_E_INVALID;
  }
  c->folder = p;
  hdw_status s = io_mkdir(e->io, p);
  if (s && s != HDW_E_EXISTS) {
    snprintf(text, ENG_TEXT, "folder: %.120s cannot be made: %s", p, hdw_status_text(s));
    return s;
  }
  return HDW_OK;
}

static bool good_name(const char *s) {
  size_t n = strlen(s);
  if (!n || n > 200 || s[0] == '.') return false;
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] < ' ' || s[i] == '/' || s[i] == 0x7f) return false;
  return true;
}

static hdw_status content(eng_call *call, buf *b) {
  val v = jv_get(call->request, "content");
  if (v.tag == VAL_EMPTY) v = jv_get(call->request, "1");
  hl7_slice s;
  const hl7_node *n = hl7_of(v);
  if (n) {
    if (n->level != HL7_MSG) s = hl7_node_raw(n);
    else if (hl7_bytes(call->a, n->m, &s)) return HDW_E_NOMEM;
    buf_put(b, s.p, s.len);
  } else if (v.tag == VAL_STR || v.tag == VAL_TPL) {
    size_t len = 0;
    const char *t = eng_arg_bytes(call->a, v, NULL, &len);
    if (!t) return HDW_E_TYPE;
    buf_put(b, t, len);
  } else if (v.tag == VAL_BIN) buf_put(b, v.u.s, v.len);
  else return json_write(v, b, NULL);
  return (hdw_status)b->status;
}

static hdw_status write_whole(eng_call *call, const char *name, const buf *b) {
  io *x = call->e->io;
  char tmp[4400], path[4400];
  int fd;
  snprintf(tmp, sizeof tmp, "%s/.%.200s.%.16s", call->c->folder, name, call->idem);
  snprintf(path, sizeof path, "%s/%.200s", call->c->folder, name);
  if (HDW_BROKEN("file.in_place")) snprintf(tmp, sizeof tmp, "%s", path);
  hdw_status s = io_open(x, tmp, IO_O_WRITE | IO_O_CREATE | IO_O_TRUNC, &fd);
  if (s) return s;
  HDW_POINT("folder.opened");
  if (b->len) s = io_pwrite(x, fd, b->p, b->len, 0);
  HDW_POINT("folder.written");
  if (!s && !HDW_BROKEN("file.no_sync")) s = io_sync(x, fd);
  hdw_status c = io_fclose(x, fd);
  if (!s) s = c;
  if (!s) s = io_rename(x, tmp, path);
  if (s) (void)io_unlink(x, tmp);
  HDW_POINT("folder.renamed");
  return s ? s : io_sync_dir(x, call->c->folder);
}

/* *unknown: it failed, and the line may stand there all the same. */
static hdw_status append_line(eng_call *call, const char *name, buf *b, bool *unknown) {
  io *x = call->e->io;
  char path[4400], last = '\n';
  int fd;
  io_stat_info st;
  size_t got = 0;
  snprintf(path, sizeof path, "%s/%.200s", call->c->folder, name);
  buf_putc(b, '\n');
  if (b->status) return (hdw_status)b->status;
  hdw_status s = io_open(x, path, IO_O_READ | IO_O_WRITE | IO_O_CREATE | IO_O_APPEND, &fd);
  if (s) return s;
  s = io_stat(x, path, &st);
  if (!s && st.size_bytes) s = io_pread(x, fd, &last, 1, st.size_bytes - 1, &got);
  bool begun = !s;
  if (!s && last != '\n') s = io_append(x, fd, "\n", 1);
  if (!s) s = io_append(x, fd, b->p, b->len);
  HDW_POINT("folder.appended");
  if (!s) s = io_sync(x, fd);
  if (!s) s = io_sync_dir(x, call->c->folder); /* it may be new, or left by one whose sync of the folder failed */
  *unknown = s && begun && (io_truncate(x, fd, st.size_bytes) || io_sync(x, fd));
  (void)io_fclose(x, fd); /* what it holds is on the disk, or taken back */
  return s;
}

static void folder_start(eng_call *call) {
  val v = jv_get(call->request, "name");
  if (v.tag == VAL_EMPTY) v = jv_get(call->request, "0");
  const char *name = eng_arg_text(call->a, v, NULL);
  buf b;
  bool unknown = false;
  buf_init(&b, call->a, 64 << 20);
  hdw_status s = name && good_name(name) ? content(call, &b) : HDW_E_INVALID;
  if (s) eng_call_fail(call, FAIL_DATA, 0, hdw_status_name(s), s == HDW_E_INVALID ? "the name is no plain file name" : "the content cannot be written");
  else {
    s = !strcmp(call->op, "append") ? append_line(call, name, &b, &unknown) : write_whole(call, name, &b);
    call->ok = !s;
    call->result = s ? VAL_NONE : val_cstr(name);
    if (s) eng_call_fail(call, unknown ? FAIL_AMBIGUOUS : FAIL_TRANSIENT, 0, hdw_status_name(s), "%.150s: %s", call->c->folder, hdw_status_text(s));
  }
  eng_call_later(call);
}

static bool folder_unsafe(eng_call *call) { return !strcmp(call->op, "append") && !HDW_BROKEN("line.again"); }

const eng_driver eng_driver_folder = {.kind = "folder", .in_order = true, .setup = folder_setup, .start = folder_start, .unsafe = folder_unsafe};
