/**
 * @file  usher_image.h
 * @brief Files of data that all children read in one sealed copy: databases, lists.
 *
 * The parent reads such a file at the start and at each restart, has the module judge it and
 * make an image of it, and seals that: nobody can change it any more, whatever happens to the
 * file. When the file is another one later - renamed over, or overwritten - and children may
 * read it, one of them does the same in a thread of its own, and hands the new image to all
 * the others, also to those that come later. Until the new one is proved good the old one stays.
 */
#ifndef USHER_IMAGE_H
#define USHER_IMAGE_H

#include <apr_pools.h>
#include <httpd.h>

/** A file; of this reading of the configuration, in pconf. */
typedef struct usher_image_t usher_image_t;

/** An image that is being made. */
typedef struct usher_image_maker_t usher_image_maker_t;

/** What a module does with files of a kind. Static. */
typedef struct usher_image_spec_t {
    const char *what;      /**< in messages: "the database", "the list" */
    apr_uint64_t size_max; /**< bytes of a file; one that is larger is refused */
    apr_uint32_t layout;   /**< changes with any change of what make() judges or makes: an image of another
                            * layout is made anew at a restart */
    /**
     * Judge a file's contents, and make the image. In the parent at the start, and in a thread of
     * one child; takes as long as it takes, but at a restart the site waits for it.
     * @param bytes  do not change; hostile
     * @param maker  for usher_core_t.image_room(), to be called once
     * @param baton  as it was declared; what is made does not depend on it
     * @param ptemp  for small things
     * @return NULL: the image is good; else why it is none, for people: what is wrong and where
     */
    const char *(*make)(const char *bytes, apr_size_t len, usher_image_maker_t *maker, void *baton,
                        apr_pool_t *ptemp);
    /**
     * The image has come into this process: make of it what readers need. Any thread.
     * @param image  the sealed bytes, mapped for reading until close()
     * @param path   a name under which the image can be opened: "/proc/self/fd/N"; only during the call
     * @return for image_begin(); NULL: it cannot be opened (it is logged), the old one stays
     */
    void *(*open)(const void *image, apr_size_t len, const char *path, void *baton);
    /** Nobody reads it any more. May be NULL. */
    void (*close)(void *opened, void *baton);
} usher_image_spec_t;

/** How a file is, for who shows or uses it. */
typedef struct usher_image_state_t {
    const char *path;
    int is_there;            /**< there is an image to read in this process */
    int is_reread;           /**< a new file is taken without a restart */
    apr_time_t modified_at;  /**< of the file that it was made of, UTC */
    apr_time_t loaded_at;    /**< UTC */
    apr_uint64_t size;       /**< bytes of the image */
    char wrong[200];         /**< why the file as it is now is not used; "" where it is */
} usher_image_state_t;

/** What image_end() needs of image_begin(). */
typedef struct usher_image_hold_t {
    void *opaque;
} usher_image_hold_t;

#endif /* USHER_IMAGE_H */
