/* bench_json_peers.h - other JSON libraries behind one shape. Each call parses the text and frees what it made; fields: and reads the ten
 * fields of the Bundle, whose lengths and values are summed in *sum so that they cannot be left out. Return 0, or 1 on failure. */
#ifndef HDW_BENCH_JSON_PEERS_H
#define HDW_BENCH_JSON_PEERS_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
/* Called once: simdjson wants padding behind the text. */
int peer_simdjson_load(const char *text, size_t len);
int peer_simdjson_parse(const char *text, size_t len, size_t *sum);
int peer_simdjson_fields(const char *text, size_t len, size_t *sum);
int peer_rapidjson_parse(const char *text, size_t len, size_t *sum);
int peer_rapidjson_fields(const char *text, size_t len, size_t *sum);
int peer_rapidjson_write(const char *text, size_t len, size_t *sum);
int peer_cjson_parse(const char *text, size_t len, size_t *sum);
int peer_cjson_fields(const char *text, size_t len, size_t *sum);
const char *peer_simdjson_kernel(void);
#ifdef __cplusplus
}
#endif
#endif
