/* The lock of objects whose methods release the GIL inside, or run without one. */
#include "python/core/state.h"

void
tsm_lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
#ifdef __GLIBC__
    /* Readers that never pause must not keep a refresh or a finalize out for ever. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

void
tsm_lock_read(pthread_rwlock_t *lock)
{
    if (pthread_rwlock_tryrdlock(lock) != 0) {
        Py_BEGIN_ALLOW_THREADS
        pthread_rwlock_rdlock(lock);
        Py_END_ALLOW_THREADS
    }
}

void
tsm_lock_write(pthread_rwlock_t *lock)
{
    if (pthread_rwlock_trywrlock(lock) != 0) {
        Py_BEGIN_ALLOW_THREADS
        pthread_rwlock_wrlock(lock);
        Py_END_ALLOW_THREADS
    }
}

void
tsm_unlock(pthread_rwlock_t *lock)
{
    pthread_rwlock_unlock(lock);
}
