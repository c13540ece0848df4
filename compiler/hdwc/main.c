/* main.c - the table of commands. */
#include <lmdb.h>
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>
#include <zstd.h>
#include "hdwc.h"
#include "re.h"

static const hc_command commands[] = {
    {"check", "check [--format=text|json|sarif] [--strict] PATH...", "Checks programs",
     "PATH is a .hdw file or a folder. In a folder every file that no other file uses is a program of its own.\n"
     "  --format   how findings are written (text)\n"
     "  --strict   warnings count as errors\n"
     "Exit status: 0 clean, 1 findings, 2 wrong use.\n",
     hc_check},
    {"build", "build PATH... -o OUT.hdwb", "Compiles a program into a module",
     "All files of all PATHs become one module. The same sources give the same bytes.\n", hc_build},
    {"run", "run FILE.hdw [--workflow W] [--message F | --json F] [--mock F]", "Runs a workflow once, without any network",
     "  --workflow  which one, when there are several\n"
     "  --message   an HL7 v2 message as the input\n"
     "  --json      a JSON text as the input: the body of the request\n"
     "  --mock      answers of the outside world: {\"crm.post\": VALUE, \"crm.get\": [FIRST, SECOND], \"ward.message\": {\"$error\": 503}};\n"
     "              a list answers one call after the other. What has no mock is answered with nothing, MLLP with AA.\n"
     "Prints one JSON object: verdict, ack, result, effects, run.\n",
     hc_run},
    {"test", "test PATH... [--filter TEXT] [--format=text|json|junit] [--coverage] [--listing] [--lcov FILE] [--loss] [--loss-json] [--lossless]", "Runs the tests of programs, without any network",
     "  --filter    only tests whose name holds TEXT\n"
     "  --format    how results are written (text)\n"
     "  --coverage  which lines, which ways of choices and which steps the tests came to; with --format=json as \"coverage\"\n"
     "  --listing   the sources with a count for each line\n"
     "  --lcov      the same as an LCOV tracefile, for genhtml and CI\n"
     "  --loss      segments and fields of HL7 inputs that no workflow reads or drops; with --format=json as \"unread\"\n"
     "  --loss-json also elements of JSON bodies, such as FHIR resources\n"
     "  --lossless  as --loss, and what is unread fails\n"
     "Exit status: 0 all passed, 1 some failed or the program does not compile, 2 wrong use.\n",
     hc_test},
    {"fmt", "fmt [--check] PATH...", "Formats sources in place", "  --check    changes nothing; exit status 1 when a file would change\n", hc_fmt},
    {"explain", "explain CODE", "Explains a diagnostic", "", hc_explain},
    {"disasm", "disasm FILE.hdwb", "Lists a module in readable form", "", hc_disasm},
    {"eval", "eval [--hl7 F | --fhir F | --json F] [--strict] [--typed] EXPR  |  eval --batch [--time]", "Evaluates a FHIRPath expression",
     "  --hl7, --fhir, --json   the input and its model\n"
     "  --strict                unknown names are errors\n"
     "  --typed                 each item as {\"type\":...,\"value\":...}\n"
     "  --batch                 reads lines {\"id\":..., \"fhir\"|\"hl7\"|\"json\": PATH, \"expr\": EXPR}, writes {\"id\":..., \"result\":[...]}\n"
     "                          or {\"id\":..., \"error\":{\"code\":...,\"message\":...}}; a line may say \"strict\":true\n"
     "  --time                  adds \"ns\": time of one evaluation\n",
     hc_eval},
    {"hl7", "hl7 to-json|from-json|check FILE...", "Converts and checks HL7 v2 messages",
     "to-json writes one line of JSON for each message; from-json is the exact reverse. FILE - is standard input.\n", hc_hl7_command},
    {"fhir", "fhir check [--format=text|json] [--profile=FILE] [--strict] [--values] FILE...", "Checks FHIR R4 resources",
     "FILE holds a resource or several, one after the other (NDJSON); - is standard input. Each is checked against the R4 model: unknown members,\n"
     "cardinality, forms of primitives, codes of required bindings, choice elements, extensions, references, contained resources.\n"
     "  --format   text, or one JSON object a line\n"
     "  --profile  a StructureDefinition: resources of its type are checked against it, too\n"
     "  --strict   warnings count as errors\n"
     "  --values   prints the values found wrong; they may be clinical data\n"
     "Exit status: 0 no errors, 1 errors, 2 wrong use.\n",
     hc_fhir_command},
    {"view", "view FILE.json [--format=ndjson|csv] [--strict] [--check] [RESOURCES.ndjson...]", "Rows of FHIR resources by a ViewDefinition of SQL on FHIR",
     "Reads lines of NDJSON from the files, or from standard input, and prints the view's rows of those resources that it is about.\n"
     "  --format   ndjson (an object for each row) or csv (RFC 4180, with a line of names)\n"
     "  --strict   a path to an element that FHIR R4 does not have is an error; without it a warning, and empty\n"
     "  --check    only checks the ViewDefinition\n"
     "Exit status: 0 all read, 1 the view is wrong or lines could not be used (named on standard error, the others are printed), 2 wrong use.\n",
     hc_view},
    {"new", "new DIR", "Makes a small project that checks, tests and runs", "", hc_new},
    {"gen", "gen connector FILE -o DIR [--name NAME] [--auth KIND] [--ranges=both|value] [--only A,B] [--prefix P] [--smart FILE] [--check]", "Makes a connector from what a server says of itself",
     "FILE is a FHIR CapabilityStatement (DSTU2: Conformance), or an OpenAPI document with the files that it refers to; JSON or YAML.\n"
     "Writes DIR/NAME.hdw, and for FHIR DIR/NAME.capability.json, which calls are checked against.\n"
     "  --name     of the connection; else the name of the file, or of the server\n"
     "  --auth     found (what the document asks for), none, basic, bearer, api_key, oauth2, smart_backend\n"
     "  --ranges   both: parameters of dates, numbers and quantities take a range or a value; value: a value\n"
     "  --only     these resources, or these tags or first parts of paths\n"
     "  --prefix   begins the names of actions and payloads, when a program has several connectors\n"
     "  --smart    the server's .well-known/smart-configuration: where to log in, and how\n"
     "  --check    writes nothing; exit status 1 when a file would change\n"
     "Exit status: 0 made, 1 the document cannot be used, 2 wrong use.\n",
     hc_gen},
    {"doc", "doc PATH -o DIR", "Writes the documentation of programs", "", hc_later},
    {"graph", "graph FILE", "Draws workflows", "", hc_later},
    {"lsp", "lsp", "Language Server Protocol on standard input and output", "", hc_later},
};
enum { NCOMMANDS = sizeof commands / sizeof *commands };

int hc_later(hdwc *h, const hc_command *c, int argc, char **argv) {
  hc_args args;
  int status;
  for (int i = 0; i < argc; i++)
    if (strcmp(argv[i], "--help") == 0) return hc_parse(h, c, argc, argv, NULL, 0, &args, &status) ? EXIT_USAGE : status;
  hc_say("'%s' is not yet available in this version", c->name);
  return EXIT_USAGE;
}

static void usage(FILE *f) {
  fputs("usage: hdwc COMMAND ...\n\n", f);
  for (int i = 0; i < NCOMMANDS; i++) fprintf(f, "  %-8s %s%s\n", commands[i].name, commands[i].brief, commands[i].run == hc_later ? " (not yet available)" : "");
  fputs("\nhdwc COMMAND --help says more; hdwc --version prints versions.\n", f);
}

/* Libraries as they are loaded. (RE2 cannot be asked.) */
static void version(void) {
  printf("hdwc %s\nlanguage edition 1, module format %d\n%s\n%s\nzstd %s\nutf8proc %s\n", HDW_VERSION, MOD_VERSION,
         OpenSSL_version(OPENSSL_VERSION), mdb_version(NULL, NULL, NULL), ZSTD_versionString(), utf8proc_version());
}

int main(int argc, char **argv) {
  hdwc h;
  if (argc < 2) {
    usage(stderr);
    return EXIT_USAGE;
  }
  if (strcmp(argv[1], "--version") == 0) return version(), EXIT_OK;
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) return usage(stdout), EXIT_OK;
  io_mem_init(&h.mem, 0);
  arena_init(&h.a, &h.mem.m, 0);
  h.color = isatty(1) == 1;
  h.regexes = re_cache_new();
  int status = -1;
  for (int i = 0; i < NCOMMANDS && status < 0; i++)
    if (strcmp(commands[i].name, argv[1]) == 0) status = commands[i].run(&h, &commands[i], argc - 2, argv + 2);
  if (status < 0) {
    hc_say("there is no command '%s'", argv[1]);
    usage(stderr);
    status = EXIT_USAGE;
  }
  if (fflush(stdout) || ferror(stdout)) {
    hc_say("standard output cannot be written");
    status = EXIT_USAGE;
  }
  re_cache_free(h.regexes);
  arena_free(&h.a);
  return status;
}
