/* new.c - hdwc new: a small project, written from the texts below. It checks, tests and runs; a test of ours does all three. */
#include <string.h>
#include "hdwc.h"

static const char program[] =
    "hdw 1\n"
    "\n"
    "setting crm_base: url  // the operator binds it in hdw.json\n"
    "\n"
    "connection crm = rest(base: crm_base, timeout: 10 seconds, retry: retry(3, from: 200 milliseconds, to: 5 seconds))\n"
    "listener adt = mllp(port: 2575)\n"
    "\n"
    "/// What the CRM gets to know of an admission.\n"
    "payload AdmitCard(msg: ADT_A01) {\n"
    "  mrn:       string = msg.PID-3.where(identifierTypeCode = 'MR').idNumber.first()\n"
    "  family:    string = msg.PID-5.familyName.first()\n"
    "  birthDate: date?  = msg.PID-7\n"
    "  gender:    string = gender(msg.PID-8)\n"
    "}\n"
    "\n"
    "map gender(code: string?): string { 'M': 'male', 'F': 'female', 'O': 'other', else: 'unknown' }\n"
    "\n"
    "workflow admit: AdmitCard\n"
    "  on msg = adt.message(types: ['ADT^A01'])\n"
    "  order by msg.PID-3.idNumber.first()  // in order for one patient, parallel over patients\n"
    "  ack after commit\n"
    "{\n"
    "  let mrn = msg.PID-3.where(identifierTypeCode = 'MR').idNumber.first()\n"
    "  if mrn.empty() { reject('AE', 'no medical record number in PID-3') }\n"
    "\n"
    "  let card = AdmitCard(msg)\n"
    "  send crm.post('/admits', body: card)  // delivered in order, when the CRM can\n"
    "  return card\n"
    "}\n";

static const char tests[] =
    "hdw 1\n"
    "use main\n"
    "\n"
    "test 'an admission becomes a card' {\n"
    "  when admit('samples/adt-a01.hl7')\n"
    "  expect ack.MSA-1 = 'AA'\n"
    "  expect result.family = 'SMITH' and result.birthDate = @1980-02-29\n"
    "  expect sent(crm.post).single().body.mrn = '4711'\n"
    "}\n"
    "\n"
    "test 'the CRM comes back: the card goes out once' {\n"
    "  mock crm.post = [error(503), { id: 17 }]\n"
    "  when admit('samples/adt-a01.hl7')\n"
    "  expect ack.MSA-1 = 'AA' and sent(crm.post).count() = 1\n"
    "  after 1 minute\n"
    "  expect sent(crm.post).count() = 2\n"
    "}\n"
    "\n"
    "test 'sex codes'(code: string?, want: string) {\n"
    "  case 'M', 'male'\n"
    "  case 'X', 'unknown'\n"
    "  case {},  'unknown'\n"
    "  expect gender(code) = want\n"
    "}\n";

static const char message[] =
    "MSH|^~\\&|LAB|GENERAL|HUB|HUB|20260102030405||ADT^A01^ADT_A01|M0001|P|2.5.1\r"
    "EVN|A01|20260102030405\r"
    "PID|1||4711^^^GENERAL^MR~88-99^^^SSA^SS||SMITH^JANE^Q||19800229|F|||1 MAIN ST^^SPRINGFIELD^IL^62704\r"
    "PV1|1|I|4W^412^A\r";

static const char config[] =
    "{\n"
    "  \"settings\": { \"crm_base\": \"http://127.0.0.1:8080\" },\n"
    "  \"listeners\": { \"adt\": { \"address\": \"127.0.0.1\", \"port\": 2575 } },\n"
    "  \"connections\": { \"crm\": { \"grant\": { \"networks\": [\"127.0.0.0/8\"] } } }\n"
    "}\n";

static const char readme[] =
    "# %s\n"
    "\n"
    "Admissions come in as HL7 v2 messages; the CRM gets a card of each.\n"
    "\n"
    "| file | holds |\n"
    "|---|---|\n"
    "| `main.hdw` | the program |\n"
    "| `main_test.hdw` | its tests |\n"
    "| `samples/` | messages for tests |\n"
    "| `hdw.json` | what the operator binds: addresses, ports, networks |\n"
    "\n"
    "    hdwc check .\n"
    "    hdwc test .\n"
    "    hdwc run main.hdw --message samples/adt-a01.hl7\n"
    "    hdwc build . -o %s.hdwb\n"
    "    hdwvm serve --config hdw.json --data data %s.hdwb\n";

int hc_new(hdwc *h, const hc_command *c, int argc, char **argv) {
  hc_args args;
  int status;
  bool dir;
  if (!hc_parse(h, c, argc, argv, NULL, 0, &args, &status)) return status;
  if (args.n != 1) return hc_usage(c, "one folder, please");
  const char *at = args.v[0];
  if (hc_exists(hc_join(&h->a, at, "main.hdw"), NULL) || hc_exists(hc_join(&h->a, at, "hdw.json"), NULL) || (hc_exists(at, &dir) && !dir)) {
    hc_say("'%s' is there already", at);
    return EXIT_FINDINGS;
  }
  if (!hc_mkdir(at) || !hc_mkdir(hc_join(&h->a, at, "samples"))) return EXIT_USAGE;
  const char *real = hc_real(&h->a, at), *name = hc_basename(real ? real : at);
  char text[sizeof readme + 3 * 256];
  snprintf(text, sizeof text, readme, name, name, name);
  const struct { const char *name, *text; } files[] = {
      {"main.hdw", program}, {"main_test.hdw", tests}, {"samples/adt-a01.hl7", message}, {"hdw.json", config}, {"README.md", text}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    const char *path = hc_join(&h->a, at, files[i].name);
    if (!hc_write(&h->a, path, files[i].text, strlen(files[i].text))) return EXIT_USAGE;
    printf("%s\n", path);
  }
  return EXIT_OK;
}
