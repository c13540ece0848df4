/* hdw.y - the grammar of the whole language: the host language and FHIRPath, in one LALR(1) grammar without a conflict.
 *
 * The build fails on any conflict. Rules to keep it so:
 *  - every statement and declaration begins with a keyword; there is no terminator and no newline rule;
 *  - a step is one call chain, never an operator expression;
 *  - keys of fields and entries are plain words (the lexer makes a word before ':' a name);
 *  - blocks and objects have different brace tokens (BLOCK_OPEN, LEFT_BRACE), told apart by the lexer's operand bit.
 *
 * Recovery is the driver's (parse.c). The grammar gives it three things: `list: list error` in every list of entries; `list error block`,
 * so that the block behind a broken head is still read; and yyerrok directly behind the keyword that begins an entry (the k_ rules):
 * behind a whole entry it would swallow the next error, and `list error { yyerrok; }` would loop for ever. */
%require "3.8"
%define api.pure full
%define api.push-pull push
%define api.prefix {hdw_}
%define api.token.prefix {TOK_}
%define api.token.raw
%define api.location.type {parse_span}
%define api.value.type {ast *}
%define parse.error custom
%define parse.lac full
%locations
%expect 0

%code requires {
#include "parse_state.h"
}
%parse-param { parser *px }

%code {
/* A nonterminal covers its symbols; an empty one the place behind the symbol before. */
#define YYLLOC_DEFAULT(Cur, Rhs, N)                                   \
  do {                                                                \
    (Cur).off = (N) ? YYRHSLOC(Rhs, 1).off : YYRHSLOC(Rhs, 0).end;    \
    (Cur).end = YYRHSLOC(Rhs, N).end;                                 \
  } while (0)
/* The stacks have their full size from the beginning, in the arena (hdw_pstate_in): bison allocates nothing. */
#define YYINITDEPTH 2000
#define YYMAXDEPTH 2000
#define YYMALLOC(Size) ((void)(Size), (void *)0)
#define YYFREE(Ptr) ((void)(Ptr))

#define COUNT(...) (unsigned)(sizeof((ast *const[]){__VA_ARGS__}) / sizeof(ast *))
#define NODE(kind, at, ...) parse_node(px, AST_##kind, at, COUNT(__VA_ARGS__), (ast *const[]){__VA_ARGS__})
#define BARE(kind, at) parse_node(px, AST_##kind, at, 0, NULL)
#define NIL(at) BARE(NIL, ((parse_span){(at).end, (at).end}))
#define APPEND(list, child) parse_append(px, list, child)
#define BETWEEN(from, to) ((parse_span){(from).off, (to).end})

static void hdw_error(parse_span *at, parser *px, const char *message);
}

/* The driver pushes one of these first. */
%token EOFT 0 "end of file"
%token START_FILE "file" START_EXPR "expression"

%token IDENT "name" DELIM "`name`" STRING "string" INTEGER "integer" DECIMAL "decimal" LONGN "long" DATE "date" DATETIME "dateTime"
%token TIME "time" HL7 "HL7 path" UNIT "calendar unit"
%token TPL_BEGIN "template" TPL_TEXT "template text" TPL_OPEN "{ in a template" TPL_CLOSE "} in a template" TPL_END "end of template"
%token THIS "$this" INDEX "$index" TOTAL "$total"

%token DIV "div" MOD "mod" IS "is" AS "as" AND "and" OR "or" XOR "xor" IN "in" CONTAINS "contains" IMPLIES "implies" TRUE "true"
%token FALSE "false" SORT "sort" ASC "asc" DESC "desc"

%token LE "<=" GE ">=" NE "!=" NEQV "!~" PLUS "+" MINUS "-" STAR "*" SLASH "/" AMP "&" BAR "|" LT "<" GT ">" EQ "=" TILDE "~" DOT "."
%token COMMA "," COLON ":" LEFT_PAREN "(" RIGHT_PAREN ")" LEFT_BRACKET "[" RIGHT_BRACKET "]" LEFT_BRACE "{" RIGHT_BRACE "}"
%token BLOCK_OPEN "{ of a block" BLOCK_CLOSE "} of a block" PERCENT "%" QUEST "?" BANG "!"

%token HDW "hdw" USE "use" CONNECTION "connection" LISTENER "listener" PROFILE "profile" TABLE "table" SETTING "setting"
%token SENDER "sender" ACTION "action" PAYLOAD "payload" MAP "map" FN "fn" SEGMENT "segment" ENTITY "entity" WORKFLOW "workflow" TEST "test"
%token AGAINST "against" ON "on" WHERE "where" ORDER "order" ONCE "once" BY "by" WITHIN "within" ACK "ack" AFTER "after" NEEDS "needs" LIMIT "limit" WAS "was"
%token ERROR "error"
%token LET "let" STEP "step" SEND "send" LOG "log" IF "if" ELSE "else" FOR "for" PARALLEL "parallel" MATCH "match" CASE "case"
%token RETURN "return" YIELD "yield" DROP "drop" OUTCOME "outcome" MOCK "mock" WHEN "when" AT "at" EXPECT "expect" RESTART "restart"
%token REVIEW "review"

/* Not of the lexer: the driver has reported and skipped `? a : b`. */
%token TERNARY "? :"

/* FHIRPath's precedence, weakest first. */
%precedence TERNARY
%right IMPLIES
%left OR XOR
%left AND
%left IN CONTAINS
%left EQ TILDE NE NEQV
%left LT GT LE GE
%left BAR
%precedence IS AS
%left PLUS MINUS AMP
%left STAR SLASH DIV MOD
%precedence UNARY
%precedence DOT LEFT_BRACKET

%start start
%%
start
  : START_FILE file                             { $$ = $2; }
  | START_EXPR expr                             { $$ = px->root = $2; }
  ;

/* ---- declarations ---- */

file: header decls                              { $$ = $2; } ;

header
  : %empty                                      { parse_no_edition(px); $$ = NULL; }
  | HDW INTEGER                                 { parse_edition(px, $2); $$ = NULL; }
  ;

decls
  : %empty                                      { $$ = px->root = BARE(FILE, @$); }
  | decls decl                                  { $$ = APPEND($1, $2); }
  | decls error                                 { $$ = APPEND($1, BARE(ERROR, @2)); }
  | decls error broken_block                    { $$ = APPEND($1, NODE(ERROR, BETWEEN(@2, @3), $3)); }
  ;

decl
  : k_use path                                  { $$ = NODE(USE, @$, $2, NIL(@$)); }
  | k_use path AS ident                         { $$ = NODE(USE, @$, $2, $4); }
  | k_connection ident was EQ expr against      { $$ = NODE(CONNECTION, @$, $2, $5); if ($6) $$ = APPEND($$, $6); if ($3) $$ = APPEND($$, $3); }
  | k_listener ident was EQ expr                { $$ = NODE(LISTENER, @$, $2, $5); if ($3) $$ = APPEND($$, $3); }
  | k_profile ident EQ expr                     { $$ = NODE(PROFILE, @$, $2, $4); }
  | k_table ident EQ expr                       { $$ = NODE(TABLE, @$, $2, $4); }
  | k_setting ident COLON type init             { $$ = NODE(SETTING, @$, $2, $4, $5); }
  | k_let ident type_opt EQ expr                { $$ = NODE(LET, @$, $2, $3, $5); }
  | k_payload ident params_opt field_body       { $$ = NODE(PAYLOAD, @$, $2, $3, $4); }
  | k_payload ident params_opt AS type_name field_body { $$ = NODE(PAYLOAD, @$, $2, $3, $6, $5); }
  | segment
  | k_entity ident type_opt BLOCK_OPEN entity_entries BLOCK_CLOSE
                                                { $$ = NODE(ENTITY, @$, $2, $3, parse_cover($5, BETWEEN(@4, @6))); }
  | k_sender ident BLOCK_OPEN sender_entries BLOCK_CLOSE
                                                { $$ = NODE(SENDER, @$, $2, parse_cover($4, BETWEEN(@3, @5))); }
  | k_map ident params type_opt BLOCK_OPEN arms comma BLOCK_CLOSE
                                                { $$ = NODE(MAP, @$, $2, $3, $4, parse_cover($6, BETWEEN(@5, @8))); }
  | k_map ident params type_opt BLOCK_OPEN error BLOCK_CLOSE
                                                { $$ = NODE(MAP, @$, $2, $3, $4, NODE(ARMS, BETWEEN(@5, @7), BARE(ERROR, @6))); }
  | k_fn ident params type_opt EQ expr          { $$ = NODE(FN, @$, $2, $3, $4, $6); }
  | k_fn ident params type_opt block            { $$ = NODE(FN, @$, $2, $3, $4, $5); }
  | k_action ident params type_opt block        { $$ = NODE(ACTION, @$, $2, $3, $4, $5); }
  | k_workflow ident was params_opt type_opt on clauses block
                                                { $$ = NODE(WORKFLOW, @$, $2, $4, $5, $6, $7, $8); if ($3) $$ = APPEND($$, $3); }
  | k_test STRING params_opt block              { $$ = NODE(TEST, @$, $2, $3, $4); }
  | k_mock chain EQ expr                        { $$ = NODE(MOCK, @$, $2, $4); } /* for every test of the file */
  ;

was /* the name that its state is known by so far */
  : %empty                                      { $$ = NULL; }
  | WAS ident                                   { $$ = NODE(WAS, @$, $2); }
  ;

against /* what the server says of itself */
  : %empty                                      { $$ = NULL; }
  | AGAINST LEFT_PAREN STRING RIGHT_PAREN       { $$ = NODE(AGAINST, @$, $3); }
  ;

path
  : ident                                       { $$ = NODE(PATH, @$, $1); }
  | path SLASH ident                            { $$ = APPEND($1, $3); }
  ;

segment: k_segment ident field_body             { $$ = NODE(SEGMENT, @$, $2, $3); } ;

params_opt
  : %empty                                      { $$ = NIL(@$); }
  | params
  ;

params
  : LEFT_PAREN RIGHT_PAREN                      { $$ = BARE(PARAMS, @$); }
  | LEFT_PAREN param_list comma RIGHT_PAREN     { $$ = parse_cover($2, @$); }
  ;

param_list
  : param                                       { $$ = NODE(PARAMS, @$, $1); }
  | param_list COMMA param                      { $$ = APPEND($1, $3); }
  ;

param: key COLON type init                      { $$ = NODE(PARAM, @$, $1, $3, $4); } ;

type_opt
  : %empty                                      { $$ = NIL(@$); }
  | COLON type                                  { $$ = $2; }
  ;

type
  : type_name                                   { $$ = NODE(T_ONE, @$, $1); }
  | type_name QUEST                             { $$ = NODE(T_OPT, @$, $1); }
  | type_name STAR                              { $$ = NODE(T_MANY, @$, $1); }
  | type_name PLUS                              { $$ = NODE(T_SOME, @$, $1); }
  ;

type_name
  : ident
  | type_name DOT member                        { $$ = NODE(TYPE_DOT, @$, $1, $3); }
  ;

init
  : %empty                                      { $$ = NIL(@$); }
  | EQ expr                                     { $$ = $2; }
  ;

comma: %empty | COMMA ;

/* ---- bodies of entries: payload, segment, sender, entity, map ---- */

field_body: BLOCK_OPEN fields BLOCK_CLOSE       { $$ = parse_cover($2, @$); } ;

fields
  : %empty                                      { $$ = BARE(FIELDS, @$); }
  | fields field                                { $$ = APPEND($1, $2); }
  | fields error                                { $$ = APPEND($1, BARE(ERROR, @2)); }
  ;

field: field_key type init comma                { $$ = NODE(FIELD, BETWEEN(@1, @3), $1, $2, $3); } ;

field_key: word COLON                           { yyerrok; $$ = $1; } ;

sender_entries
  : %empty                                      { $$ = BARE(ENTRIES, @$); }
  | sender_entries sender_entry                 { $$ = APPEND($1, $2); }
  | sender_entries error                        { $$ = APPEND($1, BARE(ERROR, @2)); }
  ;

sender_entry
  : field_key expr comma                        { $$ = NODE(PAIR, BETWEEN(@1, @2), $1, $2); }
  | segment
  ;

entity_entries
  : %empty                                      { $$ = BARE(ENTRIES, @$); }
  | entity_entries entity_entry                 { $$ = APPEND($1, $2); }
  | entity_entries error                        { $$ = APPEND($1, BARE(ERROR, @2)); }
  ;

entity_entry
  : field
  | k_match expr                                { $$ = NODE(MATCH_RULE, @$, $2); }
  | k_review expr                               { $$ = NODE(REVIEW_RULE, @$, $2); }
  ;

arms
  : arm                                         { $$ = NODE(ARMS, @$, $1); }
  | arms COMMA arm                              { $$ = APPEND($1, $3); }
  ;

arm
  : arm_keys COLON expr                         { $$ = NODE(ARM, @$, $1, $3); }
  | ELSE COLON expr                             { $$ = NODE(ARM_ELSE, @$, $3); }
  ;

arm_keys
  : arm_key                                     { $$ = NODE(KEYS, @$, $1); }
  | arm_keys COMMA arm_key                      { $$ = APPEND($1, $3); }
  ;

arm_key: STRING | number | TRUE | FALSE ;

/* ---- heads of workflows ---- */

on
  : %empty                                      { $$ = NIL(@$); }
  | ON triggers                                 { $$ = NODE(ON, @$, $2, NIL(@$)); }
  | ON ident EQ triggers                        { $$ = NODE(ON, @$, $4, $2); }
  ;

triggers
  : call                                        { $$ = NODE(TRIGGERS, @$, $1); }
  | triggers COMMA call                         { $$ = APPEND($1, $3); }
  ;

clauses
  : %empty                                      { $$ = BARE(CLAUSES, @$); }
  | clauses clause                              { $$ = APPEND($1, $2); }
  ;

clause
  : WHERE expr                                  { $$ = NODE(WHERE, @$, $2); }
  | ORDER BY items                              { $$ = NODE(ORDER, @$, $3, NIL(@$), NIL(@$)); }
  | ORDER BY items ON ident ident               { $$ = NODE(ORDER, @$, $3, $5, $6); }
  | ONCE BY expr                                { $$ = NODE(ONCE, @$, $3, NIL(@$)); }
  | ONCE BY expr WITHIN expr                    { $$ = NODE(ONCE, @$, $3, $5); }
  | ACK AFTER IDENT                             { $$ = NODE(ACK, @$, $3, NIL(@$), NIL(@$)); }
  | ACK AFTER IDENT WITHIN expr ELSE ident      { $$ = NODE(ACK, @$, $3, $5, $7); }
  | NEEDS expr                                  { $$ = NODE(NEEDS, @$, $2); }
  ;

/* ---- statements ---- */

block: BLOCK_OPEN statements BLOCK_CLOSE        { $$ = parse_cover($2, @$); } ;

/* The block behind a broken head is still read, with the else of a broken if. */
broken_block
  : block
  | block ELSE block                            { $$ = NODE(ELSE, @$, $1, $3); }
  | block ELSE if                               { $$ = NODE(ELSE, @$, $1, $3); }
  ;

statements
  : %empty                                      { $$ = BARE(DO, @$); }
  | statements statement                        { $$ = APPEND($1, $2); }
  | statements error                            { $$ = APPEND($1, BARE(ERROR, @2)); }
  | statements error broken_block               { $$ = APPEND($1, NODE(ERROR, BETWEEN(@2, @3), $3)); }
  ;

statement
  : k_let ident type_opt EQ expr                { $$ = NODE(LET, @$, $2, $3, $5); }
  | k_step call handlers                        { $$ = NODE(STEP, @$, NIL(@1), NIL(@1), $2, $3); }
  | k_step ident type_opt EQ call handlers      { $$ = NODE(STEP, @$, $2, $3, $5, $6); }
  | k_step ident type_opt EQ loop               { $$ = NODE(STEP, @$, $2, $3, $5, NIL(@$)); }
  | k_send call                                 { $$ = NODE(SEND, @$, $2); }
  | k_log LEFT_PAREN args RIGHT_PAREN           { $$ = NODE(LOG, @$, parse_cover($3, BETWEEN(@2, @4))); }
  | loop
  | k_parallel block                            { $$ = NODE(PARALLEL, @$, $2); }
  | if
  | k_match expr BLOCK_OPEN cases BLOCK_CLOSE   { $$ = NODE(MATCH, @$, $2, parse_cover($4, BETWEEN(@3, @5))); }
  | k_return expr                               { $$ = NODE(RETURN, @$, $2); }
  | k_yield expr                                { $$ = NODE(YIELD, @$, $2); }
  | k_drop items                                { $$ = NODE(DROP, @$, $2); }
  | k_outcome LEFT_PAREN args RIGHT_PAREN       { $$ = NODE(OUTCOME, @$, $1, parse_cover($3, BETWEEN(@2, @4))); }
  | k_mock chain EQ expr                        { $$ = NODE(MOCK, @$, $2, $4); }
  | k_when expr                                 { $$ = NODE(WHEN, @$, $2); }
  | k_at expr                                   { $$ = NODE(AT, @$, $2); }
  | k_after expr                                { $$ = NODE(AFTER, @$, $2); }
  | k_expect expr                               { $$ = NODE(EXPECT, @$, $2); }
  | k_restart                                   { $$ = BARE(RESTART, @$); }
  | k_case items                                { $$ = NODE(ROW, @$, $2); }
  | k_case items block                          { parse_case_outside(px, @$); $$ = NODE(ERROR, @$, $3); } /* match with a broken head */
  ;

loop
  : k_for ident IN expr limit block             { $$ = NODE(FOR, @$, $2, $4, $5, $6); }
  | k_parallel k_for ident IN expr limit block  { $$ = NODE(PARFOR, @$, $3, $5, $6, $7); }
  ;

limit
  : %empty                                      { $$ = NIL(@$); }
  | LIMIT expr                                  { $$ = $2; }
  ;

if
  : k_if expr block                             { $$ = NODE(IF, @$, $2, $3, NIL(@$)); }
  | k_if expr block ELSE block                  { $$ = NODE(IF, @$, $2, $3, $5); }
  | k_if expr block ELSE if                     { $$ = NODE(IF, @$, $2, $3, $5); }
  ;

cases
  : %empty                                      { $$ = BARE(CASES, @$); }
  | cases error                                 { $$ = APPEND($1, BARE(ERROR, @2)); }
  | cases error block                           { $$ = APPEND($1, NODE(ERROR, BETWEEN(@2, @3), $3)); }
  | cases CASE items block                      { $$ = APPEND($1, NODE(CASE, BETWEEN(@2, @4), $3, $4)); }
  | cases ELSE block                            { $$ = APPEND($1, NODE(ELSE, BETWEEN(@2, @3), $3)); }
  ;

handlers
  : %empty                                      { $$ = NIL(@$); }
  | handler_list
  ;

handler_list
  : handler                                     { $$ = NODE(HANDLERS, @$, $1); }
  | handler_list handler                        { $$ = APPEND($1, $2); }
  ;

handler
  : ON ERROR error_filter USE expr              { $$ = NODE(ON_ERROR_USE, @$, $3, $5); }
  | ON ERROR error_filter block                 { $$ = NODE(ON_ERROR_DO, @$, $3, $4); }
  ;

error_filter
  : %empty                                      { $$ = NIL(@$); }
  | WHERE expr                                  { $$ = $2; }
  ;

/* a.b(c).d(e): what steps, triggers and mocks name. */
callee
  : ident
  | chain DOT member                            { $$ = NODE(DOT, @$, $1, $3); }
  ;

call: callee LEFT_PAREN args RIGHT_PAREN        { $$ = parse_call(px, @$, $1, parse_cover($3, BETWEEN(@2, @4))); } ;

chain
  : callee
  | call
  | chain DOT HL7                               { $$ = NODE(DOT, @$, $1, $3); }
  ;

/* ---- keywords that begin an entry ---- */

k_use: USE { yyerrok; } ;
k_connection: CONNECTION { yyerrok; } ;
k_listener: LISTENER { yyerrok; } ;
k_profile: PROFILE { yyerrok; } ;
k_table: TABLE { yyerrok; } ;
k_setting: SETTING { yyerrok; } ;
k_sender: SENDER { yyerrok; } ;
k_action: ACTION { yyerrok; } ;
k_payload: PAYLOAD { yyerrok; } ;
k_segment: SEGMENT { yyerrok; } ;
k_entity: ENTITY { yyerrok; } ;
k_map: MAP { yyerrok; } ;
k_fn: FN { yyerrok; } ;
k_workflow: WORKFLOW { yyerrok; } ;
k_test: TEST { yyerrok; } ;
k_let: LET { yyerrok; } ;
k_step: STEP { yyerrok; } ;
k_send: SEND { yyerrok; } ;
k_log: LOG { yyerrok; } ;
k_if: IF { yyerrok; } ;
k_for: FOR { yyerrok; } ;
k_parallel: PARALLEL { yyerrok; } ;
k_match: MATCH { yyerrok; } ;
k_case: CASE { yyerrok; } ;
k_return: RETURN { yyerrok; } ;
k_yield: YIELD { yyerrok; } ;
k_drop: DROP { yyerrok; } ;
k_outcome: OUTCOME { yyerrok; $$ = $1; } ;
k_mock: MOCK { yyerrok; } ;
k_when: WHEN { yyerrok; } ;
k_at: AT { yyerrok; } ;
k_after: AFTER { yyerrok; } ;
k_expect: EXPECT { yyerrok; } ;
k_restart: RESTART { yyerrok; } ;
k_review: REVIEW { yyerrok; } ;

/* ---- expressions: FHIRPath and its superset ---- */

expr
  : term
  | expr DOT invocation                         { $$ = NODE(DOT, @$, $1, $3); }
  | expr LEFT_BRACKET expr RIGHT_BRACKET        { $$ = NODE(SUBSCRIPT, @$, $1, $3); }
  | PLUS expr %prec UNARY                       { $$ = NODE(POS, @$, $2); }
  | MINUS expr %prec UNARY                      { $$ = NODE(NEG, @$, $2); }
  | expr TERNARY                                { $$ = BARE(ERROR, @$); }
  | BANG expr %prec UNARY                       { $$ = parse_not(px, @1, @2, $2); }
  | expr STAR expr                              { $$ = NODE(MUL, @$, $1, $3); }
  | expr SLASH expr                             { $$ = NODE(DIVIDE, @$, $1, $3); }
  | expr DIV expr                               { $$ = NODE(DIV, @$, $1, $3); }
  | expr MOD expr                               { $$ = NODE(MOD, @$, $1, $3); }
  | expr PLUS expr                              { $$ = NODE(ADD, @$, $1, $3); }
  | expr MINUS expr                             { $$ = NODE(SUB, @$, $1, $3); }
  | expr AMP expr                               { $$ = NODE(CONCAT, @$, $1, $3); }
  | expr IS type_spec                           { $$ = NODE(IS, @$, $1, $3); }
  | expr AS type_spec                           { $$ = NODE(AS, @$, $1, $3); }
  | expr BAR expr                               { $$ = NODE(UNION, @$, $1, $3); }
  | expr LT expr                                { $$ = NODE(LT, @$, $1, $3); }
  | expr GT expr                                { $$ = NODE(GT, @$, $1, $3); }
  | expr LE expr                                { $$ = NODE(LE, @$, $1, $3); }
  | expr GE expr                                { $$ = NODE(GE, @$, $1, $3); }
  | expr EQ expr                                { $$ = NODE(EQ, @$, $1, $3); }
  | expr TILDE expr                             { $$ = NODE(EQUIV, @$, $1, $3); }
  | expr NE expr                                { $$ = NODE(NE, @$, $1, $3); }
  | expr NEQV expr                              { $$ = NODE(NEQUIV, @$, $1, $3); }
  | expr IN expr                                { $$ = NODE(IN, @$, $1, $3); }
  | expr CONTAINS expr                          { $$ = NODE(CONTAINS, @$, $1, $3); }
  | expr AND expr                               { $$ = NODE(AND, @$, $1, $3); }
  | expr OR expr                                { $$ = NODE(OR, @$, $1, $3); }
  | expr XOR expr                               { $$ = NODE(XOR, @$, $1, $3); }
  | expr IMPLIES expr                           { $$ = NODE(IMPLIES, @$, $1, $3); }
  ;

term
  : head
  | literal
  | PERCENT ident                               { $$ = NODE(VAR, @$, $2); }
  | PERCENT STRING                              { $$ = NODE(VAR, @$, $2); }
  | LEFT_PAREN expr RIGHT_PAREN                 { $$ = $2; if ($$) $$->flags |= AST_PARENS; }
  ;

head
  : ident
  | ident LEFT_PAREN args RIGHT_PAREN           { $$ = parse_call(px, @$, $1, parse_cover($3, BETWEEN(@2, @4))); }
  | THIS
  | INDEX
  | TOTAL
  ;

invocation
  : member
  | member LEFT_PAREN args RIGHT_PAREN          { $$ = parse_call(px, @$, $1, parse_cover($3, BETWEEN(@2, @4))); }
  | THIS
  | INDEX
  | TOTAL
  | HL7
  | number                                      { $$ = NODE(COMPONENT, @$, $1); }
  ;

args
  : %empty                                      { $$ = BARE(ARGS, @$); }
  | arg_list comma
  ;

arg_list
  : arg                                         { $$ = NODE(ARGS, @$, $1); }
  | arg_list COMMA arg                          { $$ = APPEND($1, $3); }
  ;

arg
  : expr
  | expr ASC                                    { $$ = NODE(ASC, @$, $1); }
  | expr DESC                                   { $$ = NODE(DESC, @$, $1); }
  | key COLON expr                              { $$ = NODE(NAMED, @$, $1, $3); }
  ;

literal
  : LEFT_BRACE RIGHT_BRACE                      { $$ = BARE(EMPTY, @$); }
  | LEFT_BRACE COLON RIGHT_BRACE                { $$ = BARE(OBJ, @$); }
  | LEFT_BRACE pairs comma RIGHT_BRACE          { $$ = parse_cover($2, @$); }
  | LEFT_BRACKET RIGHT_BRACKET                  { $$ = BARE(LIST, @$); }
  | LEFT_BRACKET list comma RIGHT_BRACKET       { $$ = parse_cover($2, @$); }
  | template
  | HL7
  | TRUE
  | FALSE
  | STRING
  | LONGN
  | DATE
  | DATETIME
  | TIME
  | number
  | number UNIT                                 { $$ = NODE(QUANTITY, @$, $1, $2); }
  | number STRING                               { $$ = NODE(QUANTITY, @$, $1, $2); }
  ;

number: INTEGER | DECIMAL ;

template: TPL_BEGIN template_parts TPL_END      { $$ = parse_cover($2, @$); } ;

template_parts
  : %empty                                      { $$ = BARE(TEMPLATE, @$); }
  | template_parts TPL_TEXT                     { $$ = APPEND($1, $2); }
  | template_parts TPL_OPEN expr TPL_CLOSE      { $$ = APPEND($1, $3); }
  ;

type_spec
  : ident %prec DOT
  | type_spec DOT ident                         { $$ = NODE(TYPE_DOT, @$, $1, $3); }
  ;

key: member | STRING | template | HL7 ;

pairs
  : pair                                        { $$ = NODE(OBJ, @$, $1); }
  | pairs COMMA pair                            { $$ = APPEND($1, $3); }
  ;

pair: key COLON expr                            { $$ = NODE(PAIR, @$, $1, $3); } ;

list
  : expr                                        { $$ = NODE(LIST, @$, $1); }
  | list COMMA expr                             { $$ = APPEND($1, $3); }
  ;

items
  : expr                                        { $$ = NODE(ITEMS, @$, $1); }
  | items COMMA expr                            { $$ = APPEND($1, $3); }
  ;

/* ---- names: behind a dot any word; first in an expression all but the word operators; as the key of a field no operator at all ---- */

member
  : ident
  | DIV
  | MOD
  | AND
  | OR
  | XOR
  | IMPLIES
  | TRUE                                        { $$ = $1; if ($$) $$->kind = AST_NAME; }
  | FALSE                                       { $$ = $1; if ($$) $$->kind = AST_NAME; }
  ;

ident: word | AS | CONTAINS | IN | IS ;

word
  : IDENT | DELIM | ASC | DESC | SORT
  | HDW | USE | CONNECTION | LISTENER | PROFILE | TABLE | SETTING | SENDER | ACTION | PAYLOAD | MAP | FN | SEGMENT | ENTITY | WORKFLOW
  | TEST | AGAINST | ON | WHERE | ORDER | ONCE | BY | WITHIN | ACK | AFTER | NEEDS | LIMIT | WAS | ERROR | LET | STEP | SEND | LOG | IF | ELSE | FOR
  | PARALLEL | MATCH | CASE | RETURN | YIELD | DROP | OUTCOME | MOCK | WHEN | AT | EXPECT | REVIEW | RESTART
  ;
%%
/* Stacks are full-sized inside yypstate, so one block of the arena is all. Takes the place of hdw_pstate_new, which cannot know the arena. */
hdw_pstate *hdw_pstate_in(arena *a) {
  hdw_pstate *ps = (hdw_pstate *)arena_alloc(a, sizeof *ps);
  yy_state_t *lac = (yy_state_t *)arena_alloc(a, YYMAXDEPTH * sizeof *lac);
  if (!ps || !lac) return NULL;
  ps->yystacksize = YYINITDEPTH;
  ps->yyss = ps->yyssa;
  ps->yyvs = ps->yyvsa;
  ps->yyls = ps->yylsa;
  ps->yyes = lac;
  ps->yyes_capacity = YYMAXDEPTH;
  yypstate_clear(ps);
  return ps;
}

bool hdw_accepts(hdw_pstate *ps, int token) {
  return yy_lac(ps->yyesa, &ps->yyes, &ps->yyes_capacity, ps->yyssp, (yysymbol_kind_t)token) == 0;
}

const char *hdw_token_name(int token) { return yysymbol_name((yysymbol_kind_t)token); }

static int yyreport_syntax_error(const yypcontext_t *context, parser *px) {
  yysymbol_kind_t kinds[YYNTOKENS];
  int expected[YYNTOKENS];
  int n = yypcontext_expected_tokens(context, kinds, YYNTOKENS);
  if (n < 0) return n;
  for (int i = 0; i < n; i++) expected[i] = (int)kinds[i]; /* api.token.raw: a symbol's number is its token's */
  yysymbol_kind_t found = yypcontext_token(context);
  parse_unexpected(px, *yypcontext_location(context), (int)found, yysymbol_name(found), expected, n);
  return 0;
}

/* Bison itself calls this for one thing only: its stack is full. */
static void hdw_error(parse_span *at, parser *px, const char *message) {
  (void)message;
  parse_error(px, PARSE_E_DEPTH, *at, "this is nested too deeply");
  px->too_deep = true;
}

static bool is_operator(yysymbol_kind_t s) {
  switch (s) {
  case YYSYMBOL_IMPLIES: case YYSYMBOL_OR: case YYSYMBOL_XOR: case YYSYMBOL_AND: case YYSYMBOL_IN: case YYSYMBOL_CONTAINS:
  case YYSYMBOL_EQ: case YYSYMBOL_TILDE: case YYSYMBOL_NE: case YYSYMBOL_NEQV: case YYSYMBOL_LT: case YYSYMBOL_GT: case YYSYMBOL_LE:
  case YYSYMBOL_GE: case YYSYMBOL_BAR: case YYSYMBOL_IS: case YYSYMBOL_AS: case YYSYMBOL_PLUS: case YYSYMBOL_MINUS: case YYSYMBOL_AMP:
  case YYSYMBOL_STAR: case YYSYMBOL_SLASH: case YYSYMBOL_DIV: case YYSYMBOL_MOD: case YYSYMBOL_DOT: return true;
  default: return false;
  }
}

/* The stack holds ... expr op expr op X: walk down as long as an operator stands on an expr. X may be any operand not yet reduced. */
uint32_t hdw_expression_start(const hdw_pstate *ps) {
  const yy_state_t *state = ps->yyssp;
  const parse_span *at = ps->yylsp;
  ptrdiff_t left = state - ps->yyss;
  if (left < 2) return UINT32_MAX;
  while (left > 2) {
    yysymbol_kind_t below = YY_ACCESSING_SYMBOL(state[-1]);
    if ((below == YYSYMBOL_MINUS || below == YYSYMBOL_PLUS) && YY_ACCESSING_SYMBOL(state[-2]) != YYSYMBOL_expr) {
      state--, at--, left--; /* a sign */
    } else if (is_operator(below) && YY_ACCESSING_SYMBOL(state[-2]) == YYSYMBOL_expr) {
      state -= 2, at -= 2, left -= 2;
    } else {
      break;
    }
  }
  return at->off;
}
