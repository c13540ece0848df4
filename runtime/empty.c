typedef int runtime_placeholder_t;
