/* The themes of abi.c. */
#ifndef POOLSCOPE_TESTS_ABI_H
#define POOLSCOPE_TESTS_ABI_H

#include "support.h"

void test_lives(void);
void test_replies(void);
void test_failures(void);
void test_nulls(void);
void test_handles(void);
void test_explanations(void);

#endif
