integration_test(trace)
