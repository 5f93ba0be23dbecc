/* SQLite on files in memory: transactions, two connections, WAL, and its own check of integrity. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int row(void *what, int columns, char **values, char **names)
{
    (void)names;
    printf("%s", (const char *)what);
    for (int i = 0; i < columns; i++)
        printf(" %s", values[i] ? values[i] : "null");
    printf("\n");
    return 0;
}

static int run(sqlite3 *db, const char *sql, const char *what)
{
    char *why = NULL;
    int r = sqlite3_exec(db, sql, row, (void *)what, &why);
    if (r)
        printf("%s: %d %s\n", what, r, why ? why : "");
    sqlite3_free(why);
    return r;
}

static sqlite3 *open_it(const char *path)
{
    sqlite3 *db = NULL;
    if (sqlite3_open(path, &db))
        printf("open: %s\n", sqlite3_errmsg(db));
    sqlite3_busy_timeout(db, 0);
    return db;
}

static void fill(sqlite3 *db, int rows)
{
    sqlite3_stmt *insert;
    char text[64];
    run(db, "BEGIN", "begin");
    sqlite3_prepare_v2(db, "INSERT INTO t VALUES(?, ?, ?, ?)", -1, &insert, NULL);
    for (int i = 0; i < rows; i++) {
        snprintf(text, sizeof text, "row number %d of many", i * 7919 % rows);
        sqlite3_bind_int(insert, 1, i);
        sqlite3_bind_text(insert, 2, text, -1, SQLITE_TRANSIENT);
        sqlite3_bind_double(insert, 3, i / 8.0);
        sqlite3_bind_zeroblob(insert, 4, i % 300);
        if (sqlite3_step(insert) != SQLITE_DONE)
            printf("insert: %s\n", sqlite3_errmsg(db));
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    run(db, "COMMIT", "commit");
}

static void in_mode(const char *path, const char *mode)
{
    char sql[64];
    sqlite3 *a = open_it(path), *b = open_it(path);
    snprintf(sql, sizeof sql, "PRAGMA journal_mode=%s", mode);
    run(a, sql, "mode");
    run(a, "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, half REAL, bytes BLOB);"
           "CREATE INDEX by_name ON t(name); CREATE VIEW v AS SELECT id % 10 AS k, half FROM t",
        "create");
    fill(a, 5000);
    run(b, "SELECT count(*), sum(id), sum(half), sum(length(bytes)), min(name), max(name) FROM t", "seen");
    run(b, "SELECT k, count(*), round(avg(half), 3) FROM v GROUP BY k HAVING k IN (3, 7) ORDER BY k DESC", "group");
    run(a, "BEGIN IMMEDIATE; UPDATE t SET half = -half WHERE id % 2", "update");
    printf("busy %d\n", sqlite3_exec(b, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_BUSY);
    run(b, "SELECT sum(half) FROM t", "not yet");
    run(a, "ROLLBACK", "rollback");
    run(a, "DELETE FROM t WHERE id >= 1000; UPDATE t SET name = upper(name) WHERE id = 5", "delete");
    run(b, "SELECT count(*), (SELECT name FROM t WHERE id = 5) FROM t", "after");
    run(a, "INSERT INTO t VALUES(5, 'again', 0, NULL)", "twice");
    run(b, "WITH RECURSIVE f(n, x) AS (SELECT 1, 1 UNION ALL SELECT n + 1, x * (n + 1) FROM f WHERE n < 15)"
           " SELECT max(x) FROM f", "recursive");
    run(a, "SELECT json_extract('{\"a\":[1,{\"b\":42}]}', '$.a[1].b')", "json");
    run(a, "PRAGMA integrity_check", "integrity");
    sqlite3_close(b);
    run(a, "VACUUM", "vacuum");
    run(a, "PRAGMA integrity_check", "integrity");
    sqlite3_close(a);
    a = open_it(path);
    run(a, "SELECT count(*), sum(id) FROM t", "opened again");
    sqlite3_close(a);
    unlink(path);
}

int main(void)
{
    unlink("check.db");
    in_mode("check.db", "delete");
    in_mode("check.db", "wal");
    in_mode("check.db", "truncate");
    FILE *f = fopen("broken.db", "w");
    for (int i = 0; i < 5000; i++)
        fputs("no database ", f);
    fclose(f);
    sqlite3 *db = open_it("broken.db");
    run(db, "SELECT * FROM t", "broken");
    sqlite3_close(db);
    unlink("broken.db");
    printf("%d\n", sqlite3_threadsafe());
    return 0;
}
