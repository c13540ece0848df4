# Calls that fail, below log and store: files, LMDB, digests, threads, records and rows that cannot be read. `failing` alone goes through all of them (./dev campaign failing).
set(failing_wrapped malloc EVP_DigestInit_ex EVP_DigestUpdate EVP_DigestFinal_ex EVP_MD_CTX_new EVP_MD_CTX_copy_ex ZSTD_compress ZSTD_decompress
  mdb_env_create mdb_env_set_mapsize mdb_env_open mdb_env_copy2 mdb_env_get_fd mdb_txn_begin mdb_txn_renew mdb_txn_commit mdb_dbi_open mdb_cursor_open mdb_cursor_get mdb_cursor_put mdb_cursor_del
  io_file_open io_file_pread io_file_pwritev io_file_sync io_file_truncate io_file_stat io_file_rename io_file_unlink io_file_mkdir io_file_sync_dir io_file_space
  delta_put delta_later delta_link delta_del row_put_input row_put_run row_put_effect row_put_delivery row_put_deploy row_get_input row_get_run row_get_effect row_get_delivery row_get_deploy
  rec_get_input rec_get_verdict rec_get_ack_outcome rec_get_run_start rec_get_run_change rec_get_effect rec_get_run_end rec_get_delivery rec_get_delivery_result rec_get_action rec_get_deploy
  rec_get_named rec_get_expire rec_get_audit)
list(TRANSFORM failing_wrapped PREPEND -Wl,--wrap= OUTPUT_VARIABLE failing_options)
add_executable(failing ${CMAKE_CURRENT_LIST_DIR}/failing.c ${CMAKE_CURRENT_LIST_DIR}/failing_wrap.c)
target_link_libraries(failing PRIVATE hdw_test_support hdw_flags)
target_link_options(failing PRIVATE ${failing_options})
if(HDW_COVERAGE) # each failing call is a branch
  add_test(NAME faults/failing COMMAND failing)
else()
  add_test(NAME faults/failing COMMAND failing --ways first --stride 5)
endif()
set_tests_properties(faults/failing PROPERTIES TIMEOUT 900)
