# och_unit_test(NAME LAYERS...): tests/unit/<layer>/test_NAME.c with cmocka, linked to the
# objects of the layers it names and to tests/support.
function(och_unit_test name)
    add_executable(test_${name} test_${name}.c)
    target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/include
                               ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
    target_compile_definitions(test_${name} PRIVATE _GNU_SOURCE)
    och_use_layers(test_${name} ${ARGN})
    target_link_libraries(test_${name} PRIVATE och_support PkgConfig::cmocka)
    set_target_properties(test_${name} PROPERTIES LINKER_LANGUAGE CXX)
    och_strict(test_${name})
    get_filename_component(layer ${CMAKE_CURRENT_SOURCE_DIR} NAME)
    add_test(NAME unit/${layer}/${name} COMMAND test_${name})
    set_tests_properties(unit/${layer}/${name} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()
