"""Synthetic FHIR R4 data for the benchmarks, the same on every run: patient.json, bundle100.json (100 entries), bundle1mb.json (about 1 MB),
bundle1mb_pretty.json, patients.ndjson (10,000 lines). Usage: gen_fhir.py FOLDER"""
import json, os, random, sys
R = random.Random(42)
fam = "Okafor Smith Nguyen Garcia Kim Patel Müller Rossi Haddad Ivanova Johansson Tanaka Silva Dubois Cohen O'Brien".split()
giv = "Grace Daniel Minh Lucía Ji-woo Anaya Jonas Chiara Omar Olga Elsa Haruto João Camille Noa Siobhán".split()
city = [("Springfield","IL","62704"),("Portland","OR","97201"),("Austin","TX","78701"),("Madison","WI","53703")]
def patient(i):
    f, g, m = R.choice(fam), R.choice(giv), R.choice(giv); c = R.choice(city)
    return {"resourceType":"Patient","id":f"pat-{i:05d}","meta":{"versionId":"3","lastUpdated":"2024-01-15T10:30:00.000+00:00","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]},
     "text":{"status":"generated","div":f"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>{g} {m} {f}</p></div>"},
     "extension":[{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-race","extension":[{"url":"ombCategory","valueCoding":{"system":"urn:oid:2.16.840.1.113883.6.238","code":"2106-3","display":"White"}},{"url":"text","valueString":"White"}]},
      {"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex","valueCode":R.choice("FM")}],
     "identifier":[{"use":"usual","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR","display":"Medical Record Number"}],"text":"Medical Record Number"},"system":"http://hospital.example.org/mrn","value":f"{100000000+i}"},
      {"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"SS"}]},"system":"http://hl7.org/fhir/sid/us-ssn","value":f"{R.randint(100,899)}-{R.randint(10,99)}-{R.randint(1000,9999)}"}],
     "active":True,"name":[{"use":"official","family":f,"given":[g,m],"prefix":["Ms."]},{"use":"nickname","given":[g[:3]]}],
     "telecom":[{"system":"phone","value":f"217-555-{R.randint(0,9999):04d}","use":"home","rank":1},{"system":"phone","value":f"217-555-{R.randint(0,9999):04d}","use":"work","rank":2},{"system":"email","value":f"{g.lower()}.{f.lower()}@example.org"}],
     "gender":R.choice(["female","male"]),"birthDate":f"{R.randint(1930,2022)}-{R.randint(1,12):02d}-{R.randint(1,28):02d}",
     "address":[{"use":"home","type":"both","line":[f"{R.randint(1,9999)} Willow Creek Rd","Apt 5B"],"city":c[0],"state":c[1],"postalCode":c[2],"country":"US","period":{"start":"2015-06-01"}}],
     "maritalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M","display":"Married"}]},
     "contact":[{"relationship":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0131","code":"N"}]}],"name":{"family":f,"given":[R.choice(giv)]},"telecom":[{"system":"phone","value":f"217-555-{R.randint(0,9999):04d}"}]}],
     "communication":[{"language":{"coding":[{"system":"urn:ietf:bcp:47","code":"en","display":"English"}],"text":"English"},"preferred":True}],
     "generalPractitioner":[{"reference":f"Practitioner/prac-{i%50}","display":"Dr. Martin Hale"}],"managingOrganization":{"reference":"Organization/genhosp"}}
labs=[("2345-7","Glucose","mg/dL",98),("2160-0","Creatinine","mg/dL",0.9),("718-7","Hemoglobin","g/dL",13.2),("2823-3","Potassium","mmol/L",4.1),("8867-4","Heart rate","/min",72)]
def obs(i,p):
    c,d,u,v = R.choice(labs)
    return {"resourceType":"Observation","id":f"obs-{i:05d}","meta":{"versionId":"1","lastUpdated":"2024-01-15T14:30:00.000+00:00"},"status":R.choice(["final","final","final","amended","preliminary"]),
     "category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"Laboratory"}]}],
     "code":{"coding":[{"system":"http://loinc.org","code":c,"display":d}],"text":d},"subject":{"reference":f"Patient/pat-{p:05d}"},"encounter":{"reference":f"Encounter/enc-{p:05d}"},
     "effectiveDateTime":f"2024-01-{R.randint(1,28):02d}T{R.randint(0,23):02d}:15:00+00:00","issued":"2024-01-15T14:29:00.000+00:00","performer":[{"reference":"Practitioner/prac-7"}],
     "valueQuantity":{"value":round(v*R.uniform(.7,1.4),2),"unit":u,"system":"http://unitsofmeasure.org","code":u},"referenceRange":[{"low":{"value":round(v*.8,2),"unit":u},"high":{"value":round(v*1.2,2),"unit":u}}]}
def enc(i): return {"resourceType":"Encounter","id":f"enc-{i:05d}","status":"finished","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"IMP","display":"inpatient encounter"},"type":[{"coding":[{"system":"http://snomed.info/sct","code":"183452005","display":"Emergency hospital admission"}]}],"subject":{"reference":f"Patient/pat-{i:05d}"},"period":{"start":"2024-01-15T10:25:00+00:00","end":"2024-01-18T16:00:00+00:00"},"location":[{"location":{"reference":"Location/4w-412"}}]}
def bundle(n,npat):
    e=[]
    for i in range(n):
        r = patient(i) if i<npat else enc(i-npat) if i<2*npat else obs(i,R.randrange(npat))
        e.append({"fullUrl":f"http://fhir.example.org/r4/{r['resourceType']}/{r['id']}","resource":r,"search":{"mode":"match"}})
    return {"resourceType":"Bundle","id":"b1","type":"searchset","total":n,"link":[{"relation":"self","url":"http://fhir.example.org/r4/Patient?_count=100"}],"entry":e}
d=lambda o: json.dumps(o,ensure_ascii=False,separators=(",",":"))
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
def save(name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f: f.write(text)
save("patient.json", d(patient(1)))
save("bundle100.json", d(bundle(100, 10)))
n=800
while len(d(bundle(n,n//10)).encode())<1_000_000: n+=20
big = bundle(n, n//10)
save("bundle1mb.json", d(big))
save("bundle1mb_pretty.json", json.dumps(big, ensure_ascii=False, indent=2))
save("patients.ndjson", "\n".join(d(patient(i)) for i in range(10000)) + "\n")
