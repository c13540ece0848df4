integration_test(replay)
