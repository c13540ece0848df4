integration_test(fhir)
integration_test(rest)
integration_test(auth)
integration_test(adapters)
