integration_test(options)
