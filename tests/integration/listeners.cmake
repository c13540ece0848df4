integration_test(listeners)
