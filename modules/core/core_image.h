/**
 * @file  core_image.h
 * @brief What the files of the core that share files of data know of one another.
 *
 * core_image.c        declared, read by the parent, kept over restarts
 * core_image_file.c   a file is read, judged, and made an image
 * core_image_mail.c   what all processes are told of the image: a letter in a mailbox
 * core_image_view.c   the image in this process: readers come and go without a lock
 * core_image_follow.c a new file, or a new letter
 */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include <pthread.h>
#include <sys/stat.h>

#include "core_private.h"
#include "usher_mailbox.h"

/** Which contents of which file: other contents are another one. All zeros: there is no file. */
typedef struct core_image_file_t {
    apr_uint64_t device, inode, size;
    apr_int64_t modified[2], changed[2]; /**< seconds, nanoseconds */
} core_image_file_t;

/** What is told of an image, by any child: it may be garbage. Its descriptor is the image; without one
 * there is none. */
typedef struct core_image_mail_t {
    char magic[8];
    apr_uint32_t layout; /**< the spec's */
    apr_uint32_t mark;   /**< random: no letter is the same as another one, nor foreseen by who was there before */
    core_image_file_t made_of;
    core_image_file_t judged; /**< made_of, or a later one that is not used: wrong says why */
    apr_int64_t loaded_at;
    char wrong[sizeof(((usher_image_state_t *)0)->wrong)];
} core_image_mail_t;

/** What outlives a restart, in the parent; on the heap. Read by newer code as well: another layout of it needs
 * another name (core_image.c). */
typedef struct core_image_kept_t {
    struct core_image_kept_t *next;
    char *key;
    int is_used;         /**< by this reading of the configuration */
    usher_mailbox_t box;
    int fd;              /**< the image that the parent itself made; -1 */
    core_image_mail_t mail; /**< of that */
} core_image_kept_t;

/** An image as this process has it; on the heap. */
typedef struct core_image_view_t {
    struct core_image_view_t *next; /**< among those that were replaced */
    _Atomic apr_uint32_t holders;
    int is_left;         /**< nobody can come to it any more */
    void *map;
    apr_size_t size;
    apr_uint64_t inode;  /**< of the sealed memory: tells one from another */
    void *opened;
} core_image_view_t;

struct usher_image_t {
    const usher_image_spec_t *spec;
    const char *path;
    void *baton;
    core_image_kept_t *kept;
    const char *error;   /**< of image_declare() */
    int is_reread;
    /* Of this process; under the mutex, but what is atomic is read without. */
    pthread_mutex_t mutex;
    core_image_mail_t mail;
    core_image_view_t *_Atomic view;
    core_image_view_t *replaced;
    apr_uint64_t refused; /**< inode of an image that could not be opened */
    _Atomic apr_uint32_t entering;
    _Atomic apr_uint32_t number;
    /* Of the tick, and of the thread that it begins. */
    core_image_file_t seen; /**< at the last tick */
    _Atomic apr_time_t again_at; /**< not before: what was no fault of the file takes a while to pass; boot clock */
    _Atomic int is_off;  /**< the others could not be told: not before a restart */
};

/** All of this reading of the configuration: usher_image_t *. */
const apr_array_header_t *core_image_all(void);

/* core_image_file.c */

/** @return 1; 0: it cannot be looked at, errno says why; ENOENT is 1 */
int core_image_file_look(const char *path, core_image_file_t *file);
static inline int core_image_file_is(const core_image_file_t *a, const core_image_file_t *b)
{
    return !memcmp(a, b, sizeof(*a));
}

typedef struct core_image_made_t {
    int fd;              /**< sealed; -1 */
    core_image_file_t file; /**< what was judged */
    int is_unsteady;     /**< it changed meanwhile: it says nothing of the file */
    int is_denied;       /**< this process may not read it */
    int is_passing;      /**< not by the file's fault: no memory, no descriptor, a disk's or a network's error */
} core_image_made_t;

/** Takes as long as it takes. @return NULL: made->fd is an image; else why there is none */
const char *core_image_file_make(const usher_image_t *image, core_image_made_t *made, apr_pool_t *ptemp);

/* core_image_mail.c */

/**
 * What is told of it now.
 * @param fd  gets the image, checked, the caller's own; -1
 * @return 1; 0: nothing that can be understood
 */
int core_image_mail_look(const usher_image_t *image, core_image_mail_t *mail, int *fd);
/** What is to be told of a new one. */
void core_image_mail_write(const usher_image_t *image, core_image_mail_t *mail, const core_image_made_t *made);
/** Leave a letter. @param fd  the image; -1 @return 0, or an error number */
int core_image_mail_put(const usher_image_t *image, const core_image_mail_t *mail, int fd);
/** Tell of a new one. @return 0, or an error number */
int core_image_mail_tell(const usher_image_t *image, const core_image_made_t *made);
/** Tell that a file is not used; the image stays. @param file  NULL: it is to be tried again @return 0, or an error number */
int core_image_mail_complain(const usher_image_t *image, const core_image_file_t *file, const char *why);

/* core_image_view.c */

/** Have a sealed image read in this process. @return 0: it cannot be opened (it is logged) */
int core_image_view_open(usher_image_t *image, int fd);
/** Close those that nobody reads. Under the mutex. */
void core_image_view_reap(usher_image_t *image);
/** Close all; nobody reads. */
void core_image_view_close_all(usher_image_t *image);

/* core_image_follow.c */

/** Count a letter, so that all children look. */
void core_image_follow_ring(void);

#endif /* CORE_IMAGE_H */
