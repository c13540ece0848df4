#include "bench_json_peers.h"

#include <cjson/cJSON.h>
#include <simdjson.h>
#include <cstring>
#include <memory>
#include <string_view>

#ifdef __SSE2__
#define RAPIDJSON_SSE2
#endif
#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

namespace {
simdjson::dom::parser parser;
simdjson::padded_string padded;

size_t len_of(simdjson::dom::element e) { return std::string_view(e).size(); }
size_t len_of(const rapidjson::Value &v) { return v.GetStringLength(); }
size_t len_of(const cJSON *v) { return std::strlen(v->valuestring); }
}

extern "C" {

int peer_simdjson_load(const char *text, size_t len) {
  padded = simdjson::padded_string(text, len);
  return 0;
}

const char *peer_simdjson_kernel(void) {
  static const std::string name = simdjson::get_active_implementation()->name();
  return name.c_str();
}

int peer_simdjson_parse(const char *, size_t, size_t *sum) {
  simdjson::dom::element root;
  if (parser.parse(padded).get(root)) return 1;
  *sum += root.is_object();
  return 0;
}

int peer_simdjson_fields(const char *, size_t, size_t *sum) {
  simdjson::dom::element root, last;
  if (parser.parse(padded).get(root)) return 1;
  simdjson::dom::array entries = root["entry"];
  simdjson::dom::element p = entries.at(0)["resource"];
  *sum += len_of(p["id"]) + len_of(p["identifier"].at(0)["value"]) + len_of(p["name"].at(0)["family"]) +
          len_of(p["name"].at(0)["given"].at(0)) + len_of(p["birthDate"]) + len_of(p["gender"]) + len_of(p["address"].at(0)["postalCode"]) +
          uint64_t(root["total"]);
  for (simdjson::dom::element e : entries) last = e;
  last = last["resource"];
  *sum += size_t(double(last["valueQuantity"]["value"])) + len_of(last["code"]["coding"].at(0)["code"]);
  return 0;
}

int peer_rapidjson_parse(const char *text, size_t len, size_t *sum) {
  rapidjson::Document d;
  d.Parse(text, len);
  if (d.HasParseError()) return 1;
  *sum += d.IsObject();
  return 0;
}

int peer_rapidjson_fields(const char *text, size_t len, size_t *sum) {
  rapidjson::Document d;
  d.Parse(text, len);
  if (d.HasParseError()) return 1;
  const rapidjson::Value &entries = d["entry"], &p = entries[0]["resource"], &o = entries[entries.Size() - 1]["resource"];
  *sum += len_of(p["id"]) + len_of(p["identifier"][0]["value"]) + len_of(p["name"][0]["family"]) + len_of(p["name"][0]["given"][0]) +
          len_of(p["birthDate"]) + len_of(p["gender"]) + len_of(p["address"][0]["postalCode"]) + d["total"].GetUint64() +
          size_t(o["valueQuantity"]["value"].GetDouble()) + len_of(o["code"]["coding"][0]["code"]);
  return 0;
}

int peer_rapidjson_write(const char *text, size_t len, size_t *sum) {
  static std::unique_ptr<rapidjson::Document> d;
  if (!d) {
    d = std::make_unique<rapidjson::Document>();
    d->Parse(text, len);
    if (d->HasParseError()) return 1;
  }
  rapidjson::StringBuffer b;
  rapidjson::Writer<rapidjson::StringBuffer> w(b);
  d->Accept(w);
  *sum += b.GetSize();
  return 0;
}

int peer_cjson_parse(const char *text, size_t len, size_t *sum) {
  cJSON *d = cJSON_ParseWithLength(text, len);
  if (!d) return 1;
  *sum += cJSON_IsObject(d) != 0;
  cJSON_Delete(d);
  return 0;
}

int peer_cjson_fields(const char *text, size_t len, size_t *sum) {
  auto get = [](const cJSON *o, const char *k) { return cJSON_GetObjectItemCaseSensitive(o, k); };
  auto at = [](const cJSON *o, int i) { return cJSON_GetArrayItem(o, i); };
  cJSON *d = cJSON_ParseWithLength(text, len);
  if (!d) return 1;
  const cJSON *entries = get(d, "entry"), *p = get(at(entries, 0), "resource");
  const cJSON *name = at(get(p, "name"), 0), *o = get(at(entries, cJSON_GetArraySize(entries) - 1), "resource");
  *sum += len_of(get(p, "id")) + len_of(get(at(get(p, "identifier"), 0), "value")) + len_of(get(name, "family")) +
          len_of(at(get(name, "given"), 0)) + len_of(get(p, "birthDate")) + len_of(get(p, "gender")) +
          len_of(get(at(get(p, "address"), 0), "postalCode")) + size_t(get(d, "total")->valueint) +
          size_t(get(get(o, "valueQuantity"), "value")->valuedouble) + len_of(get(at(get(get(o, "code"), "coding"), 0), "code"));
  cJSON_Delete(d);
  return 0;
}
}
