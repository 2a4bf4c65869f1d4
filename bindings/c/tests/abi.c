/* Tests of the C ABI, by theme. Silent and 0 if everything holds. */
#include "abi.h"

int main(void)
{
    test_lives();
    test_replies();
    test_failures();
    test_nulls();
    test_handles();
    test_explanations();
    return checks_result();
}
