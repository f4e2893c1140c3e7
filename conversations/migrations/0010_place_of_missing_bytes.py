from django.db import migrations

_STORE = """
CREATE OR REPLACE FUNCTION store_file(
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

# As in migration 0006.
_STORE_BEFORE = """
CREATE OR REPLACE FUNCTION store_file(
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
                FROM files f WHERE f.workspace = p_workspace;
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
                    -- A file whose bytes were missing has them again.
                    UPDATE files f SET
                        storage_path = p_storage_path, mime_type = p_mime_type, size_bytes = p_size_bytes,
                        metadata = f.metadata - 'bytes_missing', last_accessed = clock_timestamp()
                    WHERE f.workspace = p_workspace AND f.sha256 = p_sha256
                    RETURNING f.id INTO v_id;
                    IF NOT FOUND THEN
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


class Migration(migrations.Migration):
    """A content whose bytes were missing is stored in a full workspace too, where it has its place already."""

    dependencies = [
        ("conversations", "0009_note_old_messages"),
    ]

    operations = [
        migrations.RunSQL(_STORE, _STORE_BEFORE),
    ]
