integration_test(damage)
