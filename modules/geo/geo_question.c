/* Questions to the databases: those of Require, and of other modules. */
#include <apr_lib.h>

#include "geo_country.h"
#include "geo_private.h"
#include "usher_geo.h"

APLOG_USE_MODULE(usher_geo);

typedef struct {
    const char *what;
    geo_path_t path;
    const char *(*normal)(apr_pool_t *p, const char *value); /* NULL: it is none */
    const char *allowed;
    geo_tells_e tells;
    const char *told_by; /* for people: a database that has such values */
} kind_t;

struct usher_geo_question_t {
    const char *from;       /* the line that asks, for what is logged */
    const kind_t *kind;     /* NULL: "geo" */
    geo_place_t place;      /* database NULL: any that knows */
    const geo_db_t *db;     /* of place.database; NULL: there is none of that name */
    int count;
    const char **values;
};

static apr_array_header_t *questions; /* usher_geo_question_t *, of which the databases are not yet known */
static apr_array_header_t *databases; /* const geo_db_t *, all; NULL while the configuration is read */

void geo_question_pre_config(apr_pool_t *pconf)
{
    questions = apr_array_make(pconf, 8, sizeof(usher_geo_question_t *));
    databases = NULL;
}

static const char *question_upper(apr_pool_t *p, const char *value)
{
    char *upper = apr_pstrdup(p, value);

    upper[0] = apr_toupper(upper[0]);
    upper[1] = apr_toupper(upper[1]);
    return upper;
}

static const char *question_country(apr_pool_t *p, const char *value)
{
    return strlen(value) == 2 && apr_isalpha(value[0]) && apr_isalpha(value[1]) ? question_upper(p, value) : NULL;
}

static const char *question_continent(apr_pool_t *p, const char *value)
{
    static const char *const continents[] = { "AF", "AN", "AS", "EU", "NA", "OC", "SA" };
    const char *upper = question_country(p, value);
    size_t i;

    for (i = 0; upper && i < sizeof(continents) / sizeof(*continents); ++i) {
        if (!strcmp(upper, continents[i])) {
            return upper;
        }
    }
    return NULL;
}

static const char *question_asn(apr_pool_t *p, const char *value)
{
    const char *digits = !ap_cstr_casecmpn(value, "AS", 2) ? value + 2 : value;
    apr_uint64_t number = 0;
    const char *at;

    for (at = digits; apr_isdigit(*at) && number <= APR_UINT32_MAX; ++at) {
        number = number * 10 + (apr_uint64_t)(*at - '0');
    }
    return at == digits || *at || number > APR_UINT32_MAX ? NULL
           : apr_psprintf(p, "%" APR_UINT64_T_FMT, number);
}

static const kind_t kinds[] = {
    { "country", { { "country", "iso_code" } }, question_country, "takes countries, two letters each: JP KR",
      GEO_TELLS_COUNTRY, "GeoLite2-Country" },
    { "continent", { { "continent", "code" } }, question_continent,
      "takes continents: AF, AN, AS, EU, NA, OC, SA", GEO_TELLS_CONTINENT, "GeoLite2-Country" },
    { "asn", { { "autonomous_system_number" } }, question_asn,
      "takes numbers of autonomous systems: 64500 or AS64500", GEO_TELLS_ASN, "GeoLite2-ASN" },
};

const char *geo_question_database(apr_pool_t *p, const char *name, const geo_db_t **db)
{
    int is_ambiguous = 0;

    *db = geo_conf_database(name);
    *db = *db ? *db : geo_maxmind_database(name, &is_ambiguous);
    if (is_ambiguous) {
        return apr_psprintf(p, "\"%s\" is the name of several files, by MaxMindDBFile: name the one that "
                            "is meant by UsherGeoDatabase", name);
    }
    return *db ? NULL : apr_psprintf(p, "there is no database \"%s\": name it by UsherGeoDatabase", name);
}

/* Find its database: once all of them are known. */
static const char *question_resolve(apr_pool_t *p, usher_geo_question_t *question)
{
    if (!databases->nelts) {
        return "there is no database: name one by UsherGeoDatabase";
    }
    return question->place.database ? geo_question_database(p, question->place.database, &question->db) : NULL;
}

/* --- what is allowed, but seldom meant */

/* Not refused: a database of somebody's own may have codes of its own. */
static void question_doubt_codes(const usher_geo_question_t *question)
{
    int i;

    for (i = 0; i < question->count; ++i) {
        const char *code = question->values[i];

        if (!geo_country_is_one(code)) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(7035)
                         "%s: \"%s\" is no country's code, so that in MaxMind's databases nobody is in it: %s",
                         question->from, code, geo_country_remedy(code));
        }
    }
}

/* One that cannot be used might tell. */
static void question_doubt_databases(const usher_geo_question_t *question)
{
    const kind_t *kind = question->kind;
    int i;

    for (i = 0; i < databases->nelts; ++i) {
        if (geo_db_tells(APR_ARRAY_IDX(databases, i, const geo_db_t *), kind->tells)) {
            return;
        }
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(7036)
                 "%s: no database has a value of that kind (%s) for any address, so that this is true of nobody: name "
                 "one that has, such as %s, by UsherGeoDatabase", question->from, kind->path.parts[0], kind->told_by);
}

static void question_doubt(const usher_geo_question_t *question)
{
    if (question->kind && question->kind->tells == GEO_TELLS_COUNTRY) {
        question_doubt_codes(question);
    }
    if (question->kind) {
        question_doubt_databases(question);
    }
}

/* --- reading */

static const char *question_values(apr_pool_t *p, usher_geo_question_t *question, const kind_t *kind,
                                   int argc, const char *const *argv)
{
    int i;

    question->values = apr_palloc(p, sizeof(*question->values) * (apr_size_t)argc);
    for (i = 0; i < argc; ++i) {
        question->values[i] = kind ? kind->normal(p, argv[i]) : apr_pstrdup(p, argv[i]);
        if (kind && !question->values[i]) {
            return apr_psprintf(p, "\"%s\": %s", argv[i], kind->allowed);
        }
    }
    question->count = argc;
    return NULL;
}

static const char *question_read(apr_pool_t *p, usher_geo_question_t *question, const char *what, int argc,
                                 const char *const *argv)
{
    const char *wrong;
    size_t i;

    for (i = 0; i < sizeof(kinds) / sizeof(*kinds); ++i) {
        if (!strcmp(what, kinds[i].what)) {
            question->kind = &kinds[i];
            question->place.path = &kinds[i].path;
            question->place.is_kept = 1;
            return argc ? question_values(p, question, &kinds[i], argc, argv) : kinds[i].allowed;
        }
    }
    if (strcmp(what, "geo") != 0) {
        return apr_psprintf(p, "\"%s\": takes country, continent, asn or geo", what);
    }
    if (argc < 2) {
        return "takes a place in a database, and values: country/country/iso_code JP KR";
    }
    wrong = geo_place_read(p, argv[0], question->from != NULL, &question->place);
    return wrong ? wrong : question_values(p, question, NULL, argc - 1, argv + 1);
}

const char *geo_question_make(apr_pool_t *p, const char *from, const char *what, int argc, const char *const *argv,
                              const usher_geo_question_t **made)
{
    usher_geo_question_t *question = apr_pcalloc(p, sizeof(*question));
    const char *wrong;

    *made = NULL;
    question->from = from;
    wrong = question_read(p, question, what, argc, argv);
    if (!wrong && databases) {
        wrong = question_resolve(p, question);
        if (!wrong && from) {
            question_doubt(question);
        }
    }
    else if (!wrong && from) { /* without the core nobody asks */
        APR_ARRAY_PUSH(questions, usher_geo_question_t *) = question;
    }
    *made = wrong ? NULL : question;
    return wrong;
}

int geo_question_check_config(apr_pool_t *pconf, server_rec *s)
{
    int may_refuse = usher_conf_may_refuse(), rc = OK, i;

    databases = apr_array_make(pconf, 8, sizeof(const geo_db_t *));
    for (i = 0; i < geo_conf_databases()->nelts; ++i) {
        APR_ARRAY_PUSH(databases, const geo_db_t *) = APR_ARRAY_IDX(geo_conf_databases(), i, geo_named_t).db;
    }
    geo_maxmind_add_databases(databases);
    for (i = 0; i < questions->nelts; ++i) {
        usher_geo_question_t *question = APR_ARRAY_IDX(questions, i, usher_geo_question_t *);
        const char *wrong = question_resolve(pconf, question);

        if (wrong) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(7030) "%s: cannot be asked: %s%s", question->from, wrong,
                         may_refuse ? "" : "; what needs it is decided by UsherGeoMissing");
            rc = may_refuse ? !OK : OK;
        }
        else {
            question_doubt(question);
        }
    }
    return rc;
}

static int question_is_among(const usher_geo_question_t *question, const char *text)
{
    int i;

    for (i = 0; i < question->count; ++i) {
        if (!strcmp(question->values[i], text)) {
            return 1;
        }
    }
    return 0;
}

static geo_result_e question_lookup(const geo_db_t *db, const geo_place_t *place, conn_rec *c,
                                    usher_cidr_address_t address, geo_value_t *value, apr_pool_t *p)
{
    int prefix;

    value->path = place->path;
    return c ? geo_cache_lookup(c, address, db, place->is_kept, value, 1, &prefix, p)
             : geo_lookup(db, address, value, 1, NULL, p);
}

/* The first database that knows has the word. One that cannot be asked might have known. */
int geo_question_answer(const usher_geo_question_t *question, conn_rec *c, usher_cidr_address_t address,
                        apr_pool_t *p)
{
    const geo_db_t *const *dbs = (const geo_db_t *const *)databases->elts;
    int i, n = databases->nelts, is_unknown = 0;
    geo_value_t value;

    if (question->place.database) {
        dbs = &question->db;
        n = question->db ? 1 : 0;
    }
    for (i = 0; i < n; ++i) {
        geo_result_e result = question_lookup(dbs[i], &question->place, c, address, &value, p);

        if (value.text) {
            return question_is_among(question, value.text);
        }
        is_unknown |= result == GEO_UNUSABLE;
    }
    return is_unknown || !n ? -1 : 0;
}

static const char *usher_geo_question(apr_pool_t *pconf, const char *from, const char *what, int argc,
                                      const char *const *argv, const usher_geo_question_t **question)
{
    return geo_question_make(pconf, from, what, argc, argv, question);
}

static int usher_geo_ask(const usher_geo_question_t *question, usher_cidr_address_t address)
{
    apr_pool_t *p; /* of nobody: no other thread is kept waiting */
    int answer;

    if (!databases || apr_pool_create_unmanaged_ex(&p, NULL, NULL) != APR_SUCCESS) {
        return -1;
    }
    answer = geo_question_answer(question, NULL, address, p);
    apr_pool_destroy(p);
    return answer;
}

static const char *usher_geo_tell(usher_cidr_address_t address, apr_pool_t *p)
{
    static const geo_path_t organization = { { "autonomous_system_organization" } };
    const char *country = NULL, *asn = NULL, *name = NULL;
    int i;

    for (i = 0; databases && i < databases->nelts; ++i) {
        geo_value_t values[] = { { &kinds[0].path, NULL }, { &kinds[2].path, NULL }, { &organization, NULL } };

        geo_lookup(APR_ARRAY_IDX(databases, i, const geo_db_t *), address, values, 3, NULL, p);
        country = country ? country : values[0].text;
        if (!asn && values[1].text) {
            asn = values[1].text;
            name = values[2].text;
        }
    }
    return apr_pstrcat(p, country ? country : "", country && asn ? ", " : "", asn ? "AS" : "", asn ? asn : "",
                       name ? " " : "", name ? name : "", NULL);
}

void geo_question_hooks(void)
{
    APR_REGISTER_OPTIONAL_FN(usher_geo_question);
    APR_REGISTER_OPTIONAL_FN(usher_geo_ask);
    APR_REGISTER_OPTIONAL_FN(usher_geo_tell);
}
