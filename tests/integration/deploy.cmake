integration_test(deploy)
