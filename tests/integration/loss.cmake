# Loss accounting in tests and in the daemon.
integration_test(loss)
