// RE2 behind re.h. Nothing may be thrown across it: RE2 itself does not throw; allocation failure is caught here.
#include "re.h"
#include <re2/re2.h>
#include <cstdint>
#include <cstring>
#include <map>
#include <new>
#include <string>

struct re {
  RE2 *r;
  bool kept; // by a cache
};

struct re_cache {
  re *slot[RE_KEPT];
};

static void re_free(re *r) {
  if (!r) return;
  delete r->r;
  delete r;
}

extern "C" re_cache *re_cache_new(void) { return new (std::nothrow) re_cache(); }

extern "C" void re_cache_free(re_cache *c) {
  if (!c) return;
  for (re *r : c->slot) re_free(r);
  delete c;
}

// Where a pattern is kept when it is.
static re **slot_of(re_cache *c, const char *pattern, size_t len) {
  uint32_t h = 2166136261u;
  if (!c || len > RE_KEPT_BYTES) return nullptr;
  for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)pattern[i]) * 16777619u;
  return &c->slot[(h ^ h >> 16) % RE_KEPT];
}

static hdw_status compile(const char *pattern, size_t len, re **out) {
  try {
    RE2::Options o;
    o.set_dot_nl(true);
    o.set_log_errors(false);
    o.set_max_mem(RE_PROGRAM_MAX_BYTES);
    re *x = new re{nullptr, false};
    try {
      x->r = new RE2(re2::StringPiece(pattern, len), o);
    } catch (...) {
      delete x;
      throw;
    }
    if (!x->r->ok()) {
      bool large = x->r->error_code() == RE2::ErrorPatternTooLarge || x->r->error_code() == RE2::ErrorRepeatSize;
      re_free(x);
      return large ? HDW_E_LIMIT : HDW_E_SYNTAX;
    }
    *out = x;
    return HDW_OK;
  } catch (...) {
    return HDW_E_NOMEM;
  }
}

extern "C" hdw_status re_make(re_cache *cache, const char *pattern, size_t len, re **out) {
  *out = nullptr;
  if (len > RE_PATTERN_MAX) return HDW_E_LIMIT;
  re **slot = slot_of(cache, pattern, len);
  if (slot && *slot && (*slot)->r->pattern().size() == len && memcmp((*slot)->r->pattern().data(), pattern, len) == 0) {
    *out = *slot;
    return HDW_OK;
  }
  hdw_status s = compile(pattern, len, out);
  if (s || !slot) return s;
  re_free(*slot);
  *slot = *out;
  (*out)->kept = true;
  return HDW_OK;
}

extern "C" void re_done(re *r) {
  if (r && !r->kept) re_free(r);
}

extern "C" hdw_status re_find(const re *r, const char *text, size_t len, size_t from, bool full, bool *found, re_match *m) {
  *found = false;
  if (from > len) return HDW_OK;
  try {
    re2::StringPiece group[RE_GROUPS], whole(text, len);
    int n = m ? r->r->NumberOfCapturingGroups() + 1 : 0;
    if (n > RE_GROUPS) n = RE_GROUPS;
    *found = r->r->Match(whole, from, len, full ? RE2::ANCHOR_BOTH : RE2::UNANCHORED, m ? group : nullptr, n);
    if (m)
      for (int i = 0; i < RE_GROUPS; i++) {
        bool in = *found && i < n && group[i].data();
        m->at[2 * i] = in ? (long)(group[i].data() - text) : -1;
        m->at[2 * i + 1] = in ? (long)(group[i].data() - text) + (long)group[i].size() : -1;
      }
    return HDW_OK;
  } catch (...) {
    return HDW_E_NOMEM;
  }
}

extern "C" int re_group(const re *r, const char *name, size_t len) {
  try {
    const std::map<std::string, int> &groups = r->r->NamedCapturingGroups();
    auto it = groups.find(std::string(name, len));
    return it == groups.end() ? -1 : it->second;
  } catch (...) {
    return -1;
  }
}
