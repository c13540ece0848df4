typedef int compiler_placeholder_t;
