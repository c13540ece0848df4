typedef int grammar_placeholder_t;
