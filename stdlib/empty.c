typedef int stdlib_placeholder_t;
