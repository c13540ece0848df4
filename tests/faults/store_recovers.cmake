# test_store_recovers: some calls below the store do what the test says.
set(recovers_wrapped mdb_txn_commit mdb_env_set_assert io_file_space)
list(TRANSFORM recovers_wrapped PREPEND -Wl,--wrap=)
target_link_options(test_store_recovers PRIVATE ${recovers_wrapped})
