/*
 * Tells helgrind of the library's locks. Linked into the helgrind build of threads, and into
 * nothing else.
 *
 * helgrind knows pthread's locks. Those of Rust's standard library are made of atomics and futexes,
 * which it does not see, so it takes every access under them for a race. In an unoptimised library
 * taking and leaving a lock are functions of their own, and valgrind can put a wrapper round each:
 * it says "taken" after the function and "left" before it. Wrappers also mark the last owner of an
 * Arc, who comes after all the others.
 *
 * Nothing promises these names and the layout of guards. If they change,
 * locks are taken and not left, or never taken: that is counted, and fails the test at its end.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <valgrind/helgrind.h>

static atomic_ulong taken, left, dropped, last_owners, faults;

/* How a lock was taken. One that was tried was not waited for: it is in no order with others, and
 * cannot make a deadlock. */
enum how { READ, WRITTEN, TRIED };

/* What this thread holds. */
static _Thread_local struct {
    void *lock;
    enum how how;
} held[8];
enum { MOST = sizeof held / sizeof *held };

static int place_of(void *lock)
{
    for (int at = 0; at < MOST; at++)
        if (held[at].lock == lock)
            return at;
    return -1;
}

static void take(void *lock, enum how how)
{
    int free_place = place_of(NULL);
    /* Twice by one thread waits for ever, for readers too: a writer may have come between. */
    if (place_of(lock) >= 0 || free_place < 0) {
        fprintf(stderr, "locks: %p is taken twice by one thread, or there are more than %d\n", lock,
                MOST);
        atomic_fetch_add(&faults, 1);
        return;
    }
    held[free_place].lock = lock;
    held[free_place].how = how;
    atomic_fetch_add(&taken, 1);
    if (how == TRIED)
        ANNOTATE_HAPPENS_AFTER(lock);
    else
        ANNOTATE_RWLOCK_ACQUIRED(lock, how == WRITTEN);
}

/* A guard has the address of its lock in one of its first two words. */
static void leave(void **guard)
{
    int place = place_of(guard[0]) >= 0 ? place_of(guard[0]) : place_of(guard[1]);
    if (place < 0 || held[place].lock == NULL) {
        atomic_fetch_add(&faults, 1);
        return;
    }
    atomic_fetch_add(&left, 1);
    if (held[place].how == TRIED)
        ANNOTATE_HAPPENS_BEFORE(held[place].lock);
    else
        ANNOTATE_RWLOCK_RELEASED(held[place].lock, held[place].how == WRITTEN);
    held[place].lock = NULL;
}

/* The names are mangled, and then encoded for valgrind: Zu _, ZZ Z, ZD $, Zd a dot, Za any
 * characters. */
#define WRAP(name) I_WRAP_SONAME_FNNAME_ZZ(NONE, name)

/* LockResult<Guard> lock(&self): the result is written where the first argument says. A poisoned
 * lock is taken too. */
#define WRAP_LOCK(name, how)                                                                       \
    void *WRAP(name)(uint64_t *result, void *lock);                                                \
    void *WRAP(name)(uint64_t *result, void *lock)                                                 \
    {                                                                                              \
        OrigFn original;                                                                           \
        void *returned;                                                                            \
        VALGRIND_GET_ORIG_FN(original);                                                            \
        CALL_FN_W_WW(returned, original, result, lock);                                            \
        take(lock, how);                                                                           \
        return returned;                                                                           \
    }

/* drop(&mut self) */
#define WRAP_GUARD(name)                                                                           \
    void WRAP(name)(void **guard);                                                                 \
    void WRAP(name)(void **guard)                                                                  \
    {                                                                                              \
        OrigFn original;                                                                           \
        VALGRIND_GET_ORIG_FN(original);                                                            \
        leave(guard);                                                                              \
        CALL_FN_v_W(original, guard);                                                              \
    }

/* std::sync::Mutex<T>::lock and std::sync::RwLock<T>::{read, write} */
WRAP_LOCK(ZuZZN3std4sync6poison5mutex14MutexZDLTZDTZDGTZD4lock17hZa, WRITTEN)
WRAP_LOCK(ZuZZN3std4sync6poison6rwlock15RwLockZDLTZDTZDGTZD4read17hZa, READ)
WRAP_LOCK(ZuZZN3std4sync6poison6rwlock15RwLockZDLTZDTZDGTZD5write17hZa, WRITTEN)

/* <std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard}<T> as Drop>::drop */
WRAP_GUARD(
    ZuZZNZaZdZdmutexZdZdMutexGuardZDLTZDTZDGTZDZDu20ZDasZDu20ZDcoreZdZdopsZdZddropZdZdDropZDGTZD4drop17hZa)
WRAP_GUARD(
    ZuZZNZaZdZdrwlockZdZdRwLockReadGuardZDLTZDTZDGTZDZDu20ZDasZDu20ZDcoreZdZdopsZdZddropZdZdDropZDGTZD4drop17hZa)
WRAP_GUARD(
    ZuZZNZaZdZdrwlockZdZdRwLockWriteGuardZDLTZDTZDGTZDZDu20ZDasZDu20ZDcoreZdZdopsZdZddropZdZdDropZDGTZD4drop17hZa)

/* std::sync::Mutex<T>::try_lock: the result begins with its variant, and 0 is Ok. */
void *WRAP(ZuZZN3std4sync6poison5mutex14MutexZDLTZDTZDGTZD8try_lock17hZa)(uint64_t *result,
                                                                          void *lock);
void *WRAP(ZuZZN3std4sync6poison5mutex14MutexZDLTZDTZDGTZD8try_lock17hZa)(uint64_t *result,
                                                                          void *lock)
{
    OrigFn original;
    void *returned;
    VALGRIND_GET_ORIG_FN(original);
    CALL_FN_W_WW(returned, original, result, lock);
    if (*result == 0)
        take(lock, TRIED);
    return returned;
}

/* core::ptr::drop_in_place::<std::sync::Mutex<_>>: what was said of this place does not hold for
 * the next lock there. */
void WRAP(ZuZZN4core3ptrZadrop_in_placeZDLTZDstdZdZdsyncZdZdpoisonZdZdmutexZdZdMutexZDLTZDZa)(
    void *lock);
void WRAP(ZuZZN4core3ptrZadrop_in_placeZDLTZDstdZdZdsyncZdZdpoisonZdZdmutexZdZdMutexZDLTZDZa)(
    void *lock)
{
    OrigFn original;
    VALGRIND_GET_ORIG_FN(original);
    atomic_fetch_add(&dropped, 1);
    ANNOTATE_RWLOCK_CREATE(lock); /* or helgrind objects if it was never taken */
    ANNOTATE_RWLOCK_DESTROY(lock);
    ANNOTATE_HAPPENS_BEFORE_FORGET_ALL(lock);
    CALL_FN_v_W(original, lock);
}

/* <std::sync::Arc<T> as Drop>::drop, and Arc<T>::drop_slow, which the last owner goes on to. */
void WRAP(
    ZuZZNZaZdZdsyncZdZdArcZDLTZDTZDCZDAZDGTZDZDu20ZDasZDu20ZDcoreZdZdopsZdZddropZdZdDropZDGTZD4drop17hZa)(
    void **arc);
void WRAP(
    ZuZZNZaZdZdsyncZdZdArcZDLTZDTZDCZDAZDGTZDZDu20ZDasZDu20ZDcoreZdZdopsZdZddropZdZdDropZDGTZD4drop17hZa)(
    void **arc)
{
    OrigFn original;
    VALGRIND_GET_ORIG_FN(original);
    ANNOTATE_HAPPENS_BEFORE(*arc);
    CALL_FN_v_W(original, arc);
}

void WRAP(ZuZZN5alloc4sync16ArcZDLTZDTZDCZDAZDGTZD9drop_slow17hZa)(void **arc);
void WRAP(ZuZZN5alloc4sync16ArcZDLTZDTZDCZDAZDGTZD9drop_slow17hZa)(void **arc)
{
    OrigFn original;
    VALGRIND_GET_ORIG_FN(original);
    atomic_fetch_add(&last_owners, 1);
    ANNOTATE_HAPPENS_AFTER(*arc);
    ANNOTATE_HAPPENS_BEFORE_FORGET_ALL(*arc);
    CALL_FN_v_W(original, arc);
}

__attribute__((destructor)) static void say_how_often(void)
{
    printf(
        "locks: taken %lu times, left %lu times, dropped %lu times, %lu last owners, %lu faults\n",
        taken, left, dropped, last_owners, faults);
    fflush(stdout);
    if (taken == 0 || taken != left || dropped == 0 || last_owners == 0 || faults > 0)
        _exit(1);
}
