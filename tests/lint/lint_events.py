#!/usr/bin/env python3
"""Every event of a log line and every metric is in docs/monitoring.md: operators build alarms on them."""
import re
from lintlib import Report, product, read

report = Report()
page = read('docs/monitoring.md')
for f in product('.c'):
    if not f.startswith('runtime/'):
        continue
    text = read(f)
    for call in re.findall(r'eng_say\((?:[^;"]|"[^"]*")*?;', text):
        head = call.split(', "', 1)[0] + ', "' + call.split(', "', 1)[1].split('",', 1)[0] + '"' if ', "' in call else call
        named = re.match(r'eng_say\([^,]+,\s*ENGINE_\w+,\s*(?:[^"]*?\?\s*)?"([a-z_]+)"(?:\s*:\s*"([a-z_]+)")?', call)
        for event in named.groups() if named else ():
            if event:
                report.look()
                if f'`{event}`' not in page:
                    report.fail(f, f'the event {event} is not in docs/monitoring.md')
for name in re.findall(r'METRIC\(\w+, \w+, "(\w+)"', read('runtime/metrics.h')) + re.findall(r'"(hdw_\w+)"', read('runtime/admin_metrics.c')):
    report.look()
    base = re.sub(r'_total$|_info$', '', name)
    if base not in page and not base.startswith('hdw_trace_spans') and not re.search(r'hdw_(steps|deliveries)_in_flight|hdw_answers_waiting|hdw_log_(syncs|unsynced)|hdw_metrics_dropped', base):
        report.fail('runtime', f'the metric {name} is not in docs/monitoring.md')
report.end()
