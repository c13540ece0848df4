# Tests that drive the built programs. (faults/, integration/, lang/, sim/ and demo/ are picked up by tests/CMakeLists.txt.)
