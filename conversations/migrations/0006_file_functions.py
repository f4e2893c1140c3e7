from django.db import migrations

# Both functions need to see, in each of their statements, what others committed while they waited.
_STORE = """
CREATE FUNCTION store_file(
    p_id uuid, p_workspace text, p_storage_path text, p_name text, p_mime_type text, p_size_bytes bigint,
    p_sha256 text, p_max_files bigint, p_max_bytes bigint
) RETURNS TABLE (
    outcome text, id uuid, workspace varchar, original_name varchar, mime_type varchar, size_bytes bigint,
    sha256 varchar, storage_path varchar, created_at timestamptz
) LANGUAGE plpgsql AS $$
-- outcome: stored; duplicate: the row that has this content already; lost: the note of these bytes is gone, and maybe
-- they are; too_many_files, too_many_bytes. Nothing but the outcome is given of the last three. May be called again.
#variable_conflict use_column
DECLARE
    v_outcome text;
    v_id uuid;
    v_files bigint;
    v_bytes numeric;
    v_old_path varchar;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'store_file works in read committed only' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- The uploads of a workspace one after the other: else two could each take the last place.
    PERFORM pg_advisory_xact_lock(1163411785, hashtext(p_workspace));
    SELECT f.id INTO v_id FROM files f WHERE f.storage_path = p_storage_path;
    IF FOUND THEN
        v_outcome := 'stored';
    ELSE
        v_id := touch_file(p_workspace, p_sha256, p_name);
        IF v_id IS NOT NULL THEN
            v_outcome := 'duplicate';
            UPDATE file_removals r SET due_at = now() WHERE r.storage_path = p_storage_path;
        ELSE
            IF p_max_files > 0 OR p_max_bytes > 0 THEN
                SELECT count(*), coalesce(sum(f.size_bytes), 0) INTO v_files, v_bytes
                FROM files f WHERE f.workspace = p_workspace AND f.sha256 IS DISTINCT FROM p_sha256;
            END IF;
            IF p_max_files > 0 AND v_files >= p_max_files THEN
                v_outcome := 'too_many_files';
            ELSIF p_max_bytes > 0 AND v_bytes + p_size_bytes > p_max_bytes THEN
                v_outcome := 'too_many_bytes';
            ELSE
                DELETE FROM file_removals r WHERE r.storage_path = p_storage_path;
                IF NOT FOUND THEN
                    v_outcome := 'lost';
                ELSE
                    v_outcome := 'stored';
                    -- A file whose bytes were missing has them again, and has had its place all the time. What may lie
                    -- at its old path after all is nobody's any more.
                    SELECT f.id, f.storage_path INTO v_id, v_old_path FROM files f
                    WHERE f.workspace = p_workspace AND f.sha256 = p_sha256 FOR UPDATE;
                    IF FOUND THEN
                        UPDATE files f SET
                            storage_path = p_storage_path, mime_type = p_mime_type, size_bytes = p_size_bytes,
                            metadata = f.metadata - 'bytes_missing', last_accessed = clock_timestamp()
                        WHERE f.id = v_id;
                        INSERT INTO file_removals (storage_path, provider_file_ids, due_at)
                        VALUES (v_old_path, '{}', now()) ON CONFLICT (storage_path) DO NOTHING;
                    ELSE
                        INSERT INTO files (
                            id, workspace, storage_path, original_name, mime_type, size_bytes, file_type, sha256,
                            provider_file_ids, last_accessed, metadata, created_at
                        ) VALUES (
                            p_id, p_workspace, p_storage_path, p_name, p_mime_type, p_size_bytes, 'user_upload',
                            p_sha256, '{}', NULL, '{}', clock_timestamp()
                        ) RETURNING files.id INTO v_id;
                    END IF;
                END IF;
            END IF;
        END IF;
        IF v_outcome IN ('lost', 'too_many_files', 'too_many_bytes') THEN
            INSERT INTO file_removals (storage_path, provider_file_ids, due_at)
            VALUES (p_storage_path, '{}', now())
            ON CONFLICT (storage_path) DO UPDATE SET due_at = now();
            RETURN QUERY SELECT v_outcome, NULL::uuid, NULL::varchar, NULL::varchar, NULL::varchar, NULL::bigint,
                                NULL::varchar, NULL::varchar, NULL::timestamptz;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
        SELECT v_outcome, f.id, f.workspace, f.original_name, f.mime_type, f.size_bytes, f.sha256, f.storage_path,
               f.created_at
        FROM files f WHERE f.id = v_id;
END;
$$;
"""

_TOUCH = """
CREATE FUNCTION touch_file(p_workspace text, p_sha256 text, p_name text) RETURNS uuid LANGUAGE sql AS $$
    -- The file that has this content, kept from cleanup for a new grace period; it remembers twenty more names.
    UPDATE files SET
        last_accessed = clock_timestamp(),
        metadata = CASE
            WHEN original_name = p_name OR coalesce(metadata -> 'names', '[]') ? p_name
                OR jsonb_array_length(coalesce(metadata -> 'names', '[]')) >= 20 THEN metadata
            ELSE jsonb_set(metadata, '{names}', coalesce(metadata -> 'names', '[]') || to_jsonb(p_name))
        END
    WHERE workspace = p_workspace AND sha256 = p_sha256 AND NOT metadata ? 'bytes_missing'
    RETURNING id;
$$;
"""

_CLEANUP = """
CREATE FUNCTION cleanup_orphaned_files(
    p_grace interval DEFAULT '24 hours', p_dry_run boolean DEFAULT false, p_limit integer DEFAULT NULL
) RETURNS TABLE (id uuid, workspace varchar, original_name varchar, size_bytes bigint, storage_path varchar)
LANGUAGE plpgsql AS $$
-- Removes the rows of files that no conversation uses and nobody stored or used within the grace period, and notes
-- their bytes for removal. p_limit: at most so many, for callers that go by batches.
#variable_conflict use_column
DECLARE
    v_before timestamptz := clock_timestamp() - p_grace;
    v_ids uuid[];
BEGIN
    IF p_grace IS NULL OR p_grace < interval '0' THEN
        RAISE EXCEPTION 'p_grace is an interval of 0 or more' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_dry_run THEN
        RETURN QUERY
            SELECT f.id, f.workspace, f.original_name, f.size_bytes, f.storage_path FROM files f
            WHERE greatest(f.created_at, f.last_accessed) <= v_before
              AND NOT EXISTS (SELECT FROM conversation_files l WHERE l.file_id = f.id)
            ORDER BY f.created_at
            LIMIT p_limit;
        RETURN;
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- The second look below would see what the first saw.
        RAISE EXCEPTION 'cleanup_orphaned_files works in read committed only'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- Whoever links a file holds its row (FOR KEY SHARE): that one is left alone. From here on a linker waits for us,
    -- and then finds no file.
    SELECT array_agg(held.id) INTO v_ids FROM (
        SELECT f.id FROM files f
        WHERE greatest(f.created_at, f.last_accessed) <= v_before
          AND NOT EXISTS (SELECT FROM conversation_files l WHERE l.file_id = f.id)
        LIMIT p_limit
        FOR UPDATE OF f SKIP LOCKED
    ) AS held;
    -- A second look, in a statement of its own: the first may have begun before a link was committed.
    RETURN QUERY
        WITH gone AS (
            DELETE FROM files f
            WHERE f.id = ANY(v_ids) AND NOT EXISTS (SELECT FROM conversation_files l WHERE l.file_id = f.id)
            RETURNING f.id, f.workspace, f.original_name, f.size_bytes, f.storage_path, f.provider_file_ids
        ), noted AS (
            INSERT INTO file_removals (storage_path, provider_file_ids, due_at)
            SELECT g.storage_path, g.provider_file_ids, now() FROM gone g
            ON CONFLICT (storage_path)
                DO UPDATE SET provider_file_ids = EXCLUDED.provider_file_ids, due_at = now()
        )
        SELECT g.id, g.workspace, g.original_name, g.size_bytes, g.storage_path FROM gone g;
END;
$$;
"""

_DROP = """
DROP FUNCTION cleanup_orphaned_files(interval, boolean, integer);
DROP FUNCTION store_file(uuid, text, text, text, text, bigint, text, bigint, bigint);
DROP FUNCTION touch_file(text, text, text);
"""


class Migration(migrations.Migration):
    """How rows of files come and go."""

    dependencies = [
        ("conversations", "0005_file_links_cascade"),
    ]

    operations = [
        migrations.RunSQL(_TOUCH + _STORE + _CLEANUP, _DROP),
    ]
