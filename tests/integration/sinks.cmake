integration_test(sinks)
integration_test(reprocess)
