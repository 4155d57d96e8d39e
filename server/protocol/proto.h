/* SPDX-License-Identifier: LGPL-2.1-or-later
 * proto.h - the numbers and messages of the NBD protocol (proto.md of the NBD project). Every
 * integer in these structs is big-endian. */
#ifndef STRATA_PROTO_H
#define STRATA_PROTO_H

#include <glib.h>

/* Limits that the specification sets (strings) or lets a server choose (the rest). */
#define NBD_MAX_STRING      4096
#define NBD_MAX_OPTION      (64 * 1024)        /* option data that is looked at */
#define NBD_MAX_DRAINED     (32 * 1024 * 1024) /* what is read and dropped; beyond it we hang up */
#define NBD_MIN_BLOCK       1
#define NBD_PREFERRED_BLOCK 4096
#define NBD_MAX_BLOCK       (32 * 1024 * 1024)
#define NBD_DEFAULT_PORT    "10809"

#define NBD_MAGIC              G_GUINT64_CONSTANT(0x4e42444d41474943) /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC       G_GUINT64_CONSTANT(0x49484156454f5054) /* "IHAVEOPT" */
#define NBD_OPTION_REPLY_MAGIC G_GUINT64_CONSTANT(0x0003e889045565a9)
#define NBD_REQUEST_MAGIC      0x25609513u
#define NBD_EXT_REQUEST_MAGIC  0x21e41c71u
#define NBD_SIMPLE_MAGIC       0x67446698u
#define NBD_CHUNK_MAGIC        0x668e33efu
#define NBD_EXT_CHUNK_MAGIC    0x6e8a278cu

/* Handshake flags, and the client's answer to them. */
#define NBD_FLAG_FIXED_NEWSTYLE   (1 << 0)
#define NBD_FLAG_NO_ZEROES        (1 << 1)
#define NBD_FLAG_C_FIXED_NEWSTYLE (1u << 0)
#define NBD_FLAG_C_NO_ZEROES      (1u << 1)

/* Transmission flags. */
#define NBD_FLAG_HAS_FLAGS            (1 << 0)
#define NBD_FLAG_READ_ONLY            (1 << 1)
#define NBD_FLAG_SEND_FLUSH           (1 << 2)
#define NBD_FLAG_SEND_DF              (1 << 7)
#define NBD_FLAG_CAN_MULTI_CONN       (1 << 8)
#define NBD_FLAG_SEND_CACHE           (1 << 10)
#define NBD_FLAG_BLOCK_STATUS_PAYLOAD (1 << 12)

enum {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT = 2,
    NBD_OPT_LIST = 3,
    NBD_OPT_PEEK_EXPORT = 4, /* never came into use */
    NBD_OPT_STARTTLS = 5,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO = 7,
    NBD_OPT_STRUCTURED_REPLY = 8,
    NBD_OPT_LIST_META_CONTEXT = 9,
    NBD_OPT_SET_META_CONTEXT = 10,
    NBD_OPT_EXTENDED_HEADERS = 11,
};

#define NBD_REP_ACK                 1u
#define NBD_REP_SERVER              2u
#define NBD_REP_INFO                3u
#define NBD_REP_META_CONTEXT        4u
#define NBD_REP_ERR_UNSUP           0x80000001u
#define NBD_REP_ERR_POLICY          0x80000002u
#define NBD_REP_ERR_INVALID         0x80000003u
#define NBD_REP_ERR_PLATFORM        0x80000004u
#define NBD_REP_ERR_TLS_REQD        0x80000005u
#define NBD_REP_ERR_UNKNOWN         0x80000006u
#define NBD_REP_ERR_SHUTDOWN        0x80000007u
#define NBD_REP_ERR_BLOCK_SIZE_REQD 0x80000008u
#define NBD_REP_ERR_TOO_BIG         0x80000009u
#define NBD_REP_ERR_EXT_HEADER_REQD 0x8000000au

enum {
    NBD_INFO_EXPORT = 0,
    NBD_INFO_NAME = 1,
    NBD_INFO_DESCRIPTION = 2,
    NBD_INFO_BLOCK_SIZE = 3,
};

enum {
    NBD_CMD_READ = 0,
    NBD_CMD_WRITE = 1,
    NBD_CMD_DISC = 2,
    NBD_CMD_FLUSH = 3,
    NBD_CMD_TRIM = 4,
    NBD_CMD_CACHE = 5,
    NBD_CMD_WRITE_ZEROES = 6,
    NBD_CMD_BLOCK_STATUS = 7,
    NBD_CMD_RESIZE = 8,
};

#define NBD_CMD_FLAG_FUA         (1 << 0)
#define NBD_CMD_FLAG_NO_HOLE     (1 << 1)
#define NBD_CMD_FLAG_DF          (1 << 2)
#define NBD_CMD_FLAG_REQ_ONE     (1 << 3)
#define NBD_CMD_FLAG_FAST_ZERO   (1 << 4)
#define NBD_CMD_FLAG_PAYLOAD_LEN (1 << 5)

#define NBD_REPLY_FLAG_DONE             (1 << 0)
#define NBD_REPLY_TYPE_NONE             0
#define NBD_REPLY_TYPE_OFFSET_DATA      1
#define NBD_REPLY_TYPE_OFFSET_HOLE      2
#define NBD_REPLY_TYPE_BLOCK_STATUS     5
#define NBD_REPLY_TYPE_BLOCK_STATUS_EXT 6
#define NBD_REPLY_TYPE_ERROR            0x8001
#define NBD_REPLY_TYPE_ERROR_OFFSET     0x8002

#define NBD_EPERM     1u
#define NBD_EIO       5u
#define NBD_ENOMEM    12u
#define NBD_EINVAL    22u
#define NBD_ENOSPC    28u
#define NBD_EOVERFLOW 75u
#define NBD_ENOTSUP   95u
#define NBD_ESHUTDOWN 108u

#define NBD_STATE_HOLE  (1u << 0)
#define NBD_STATE_ZERO  (1u << 1)
#define NBD_STATE_DIRTY (1u << 0) /* of QEMU's "qemu:dirty-bitmap:" contexts */

typedef struct {
    guint64 magic;
    guint64 option_magic;
    guint16 flags;
} __attribute__((packed)) NbdGreeting;

typedef struct {
    guint64 magic;
    guint32 option;
    guint32 length;
} __attribute__((packed)) NbdOptionHeader;

typedef struct {
    guint64 magic;
    guint32 option;
    guint32 type;
    guint32 length;
} __attribute__((packed)) NbdOptionReplyHeader;

/* The answer to NBD_OPT_EXPORT_NAME; the zeroes only without NBD_FLAG_C_NO_ZEROES. */
typedef struct {
    guint64 size;
    guint16 flags;
    guint8 zeroes[124];
} __attribute__((packed)) NbdExportReply;

typedef struct {
    guint16 type;
    guint64 size;
    guint16 flags;
} __attribute__((packed)) NbdInfoExport;

typedef struct {
    guint16 type;
    guint32 minimum;
    guint32 preferred;
    guint32 maximum;
} __attribute__((packed)) NbdInfoBlockSize;

typedef struct {
    guint32 magic;
    guint16 flags;
    guint16 type;
    guint64 handle;
    guint64 offset;
    guint32 length;
} __attribute__((packed)) NbdRequestHeader;

/* The same in extended mode. */
typedef struct {
    guint32 magic;
    guint16 flags;
    guint16 type;
    guint64 handle;
    guint64 offset;
    guint64 length;
} __attribute__((packed)) NbdExtRequestHeader;

/* The payload of an NBD_CMD_BLOCK_STATUS that has one. */
typedef struct {
    guint64 length;
    guint32 context_ids[];
} __attribute__((packed)) NbdStatusPayload;

typedef struct {
    guint32 magic;
    guint32 error;
    guint64 handle;
} __attribute__((packed)) NbdSimpleReplyHeader;

typedef struct {
    guint32 magic;
    guint16 flags;
    guint16 type;
    guint64 handle;
    guint32 length;
} __attribute__((packed)) NbdChunkHeader;

/* The same in extended mode; the offset is that of the request. */
typedef struct {
    guint32 magic;
    guint16 flags;
    guint16 type;
    guint64 handle;
    guint64 offset;
    guint64 length;
} __attribute__((packed)) NbdExtChunkHeader;

typedef struct {
    guint64 offset;
    guint32 length;
} __attribute__((packed)) NbdHole;

typedef struct {
    guint32 error;
    guint16 message_length;
} __attribute__((packed)) NbdErrorHeader;

typedef struct {
    guint32 length;
    guint32 flags;
} __attribute__((packed)) NbdExtent;

/* The beginning of an NBD_REPLY_TYPE_BLOCK_STATUS_EXT, and what follows it. */
typedef struct {
    guint32 context_id;
    guint32 n_extents;
} __attribute__((packed)) NbdExtStatusHeader;

typedef struct {
    guint64 length;
    guint64 flags;
} __attribute__((packed)) NbdExtExtent;

/* Names for messages: "NBD_OPT_GO", or "option 77" where the number has no name. The answer lives
 * until the thread's next call. */
const char *proto_option_name(guint32 option);
const char *proto_command_name(guint16 type);
const char *proto_error_name(guint32 error);

/* How much of @text a string of the protocol may hold, cut between characters. */
guint16 proto_string_length(const char *text);

#endif
