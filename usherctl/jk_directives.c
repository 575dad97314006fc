/* The directives of mod_jk that are no mounts, and the options of JkOptions:
 * what stands for them. docs/migration/mod_jk.md has a row for each. */
#include "jk.h"

#define JK_BY_ITSELF "the backend handler sends it by itself over AJP"
#define JK_INDICATOR "there is no other name for it; copy the variable with SetEnvIf or RewriteRule"

static const jk_directive_t directives[] = {
    { "JkMount", JK_TAKEN, NULL },
    { "JkUnMount", JK_TAKEN, NULL },
    { "JkMountFile", JK_TAKEN, NULL },
    { "JkMountCopy", JK_TAKEN, NULL },
    { "JkOptions", JK_TAKEN, NULL },
    { "JkWorkerProperty", JK_TAKEN, NULL },
    { "JkWorkersFile", JK_TAKEN, NULL },
    { "JkMountFileReload", JK_NEEDLESS,
      "mounts are part of the configuration now: a graceful restart takes new ones" },
    { "JkAutoAlias", JK_DECIDE,
      "serve static files with Alias, and take their paths out with ProxyPass path !" },
    { "JkLogFile", JK_NEEDLESS, "messages go to ErrorLog" },
    { "JkLogLevel", JK_NEEDLESS, "it is LogLevel usher_backend:info and the like" },
    { "JkLogStampFormat", JK_NEEDLESS, "it is ErrorLogFormat" },
    { "JkRequestLogFormat", JK_DECIDE,
      "log with LogFormat: %{USHER_MEMBER}e, %{attempts}^US, %{times}^US" },
    { "JkShmFile", JK_NEEDLESS, "Usher's shared memory has no file" },
    { "JkShmSize", JK_NEEDLESS, "the size follows the configuration; see UsherMemory" },
    { "JkWatchdogInterval", JK_NEEDLESS, "Usher's tick is once a second" },
    { "JkExtractSSL", JK_NEEDLESS, JK_BY_ITSELF },
    { "JkHTTPSIndicator", JK_DECIDE, JK_INDICATOR },
    { "JkSSLPROTOCOLIndicator", JK_DECIDE, JK_INDICATOR },
    { "JkCERTSIndicator", JK_DECIDE, JK_INDICATOR },
    { "JkCIPHERIndicator", JK_DECIDE, JK_INDICATOR },
    { "JkCERTCHAINPrefix", JK_DECIDE, JK_INDICATOR },
    { "JkSESSIONIndicator", JK_DECIDE, JK_INDICATOR },
    { "JkKEYSIZEIndicator", JK_DECIDE, JK_INDICATOR },
    { "JkStripSession", JK_DECIDE,
      "take it out with RewriteRule \"^([^;]*);jsessionid=[^/]*$\" \"$1\" where httpd serves files" },
    { "JkEnvVar", JK_DECIDE,
      "a variable whose name begins with AJP_ becomes a request attribute without that beginning" },
    { "JkWorkerIndicator", JK_DECIDE, "use SetHandler \"proxy:balancer://name\" in its <Location>" },
    { "JkRequestIdIndicator", JK_NEEDLESS, "ErrorLogFormat has %L, mod_unique_id UNIQUE_ID" },
    { "JkRemoteAddrIndicator", JK_DECIDE, "the client's address is set by mod_remoteip" },
    { "JkRemoteHostIndicator", JK_DECIDE, "the client's address is set by mod_remoteip" },
    { "JkRemotePortIndicator", JK_DECIDE, "the port is that of the connection, or the one that mod_remoteip has set" },
    { "JkRemoteUserIndicator", JK_DECIDE, "the user is the one that httpd has authenticated" },
    { "JkAuthTypeIndicator", JK_DECIDE, "the type is the one that httpd has authenticated with" },
    { "JkLocalNameIndicator", JK_DECIDE, "the name is that of Host, or with UseCanonicalName On of ServerName" },
    { "JkLocalAddrIndicator", JK_DECIDE, "the address is the one that the client connected to" },
    { "JkLocalPortIndicator", JK_DECIDE, "the port is the one that the client connected to" },
    { "JkIgnoreCLIndicator", JK_DECIDE, "mod_deflate takes Content-Length out when it inflates a body; else set proxy-sendchunked" },
};

static const jk_directive_t options[] = {
    { "FlushPackets", JK_TAKEN, NULL },
    { "DisableReuse", JK_TAKEN, NULL },
    { "ForwardURIProxy", JK_NEEDLESS, "this is what ProxyPass does" },
    { "ForwardURICompatUnparsed", JK_DECIDE,
      "to send the URL as the client wrote it, add nocanon to ProxyPass" },
    { "ForwardURICompat", JK_NEEDLESS, "ProxyPass encodes the path again, which is safe" },
    { "ForwardURIEscaped", JK_NEEDLESS, "this is what ProxyPass does" },
    { "ForwardDirectories", JK_NEEDLESS, "ProxyPass goes before DirectoryIndex" },
    { "ForwardLocalAddress", JK_DECIDE,
      "Tomcat gets the client's address; let it know httpd by the secret instead" },
    { "ForwardPhysicalAddress", JK_DECIDE,
      "Tomcat gets the address that mod_remoteip has set; leave mod_remoteip out for the other one" },
    { "ForwardKeySize", JK_NEEDLESS, JK_BY_ITSELF },
    { "ForwardSSLCertChain", JK_DECIDE, "SSLOptions +ExportCertData sends the chain, too" },
    { "FlushHeader", JK_NEEDLESS, "the head of an answer is not held back" },
    { "RejectUnsafeURI", JK_DECIDE,
      "refuse such paths with RewriteRule \"[%\\x5c]\" - [F]" },
    { "CollapseSlashesAll", JK_NEEDLESS, "it is MergeSlashes, which is On" },
    { "CollapseSlashesNone", JK_NEEDLESS, "it is MergeSlashes, which is On" },
    { "CollapseSlashesUnmount", JK_NEEDLESS, "it is MergeSlashes, which is On" },
};

static const jk_directive_t *directives_find(const jk_directive_t *table, apr_size_t count,
                                             const char *name)
{
    apr_size_t i;

    for (i = 0; i < count; ++i) {
        if (!apr_strnatcasecmp(table[i].name, name)) {
            return &table[i];
        }
    }
    return NULL;
}

const jk_directive_t *jk_directive_find(const char *name)
{
    return directives_find(directives, sizeof(directives) / sizeof(directives[0]), name);
}

const jk_directive_t *jk_option_find(const char *name)
{
    return directives_find(options, sizeof(options) / sizeof(options[0]), name);
}
