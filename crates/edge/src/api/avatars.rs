//! Pictures of people. Nothing that was uploaded is served: it is decoded within bounds, cut to a square, scaled and
//! encoded anew, in the background.

use std::io::Cursor;

use axum::{
    body::Body as RawBody,
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits, imageops::FilterType};
use rally_protocol::client::v1::ErrorCode;

use super::{Api, body::collect, caller::Caller, ids::UserPath};
use crate::error::Problem;

/// Bytes of an upload.
const UPLOAD_BYTES_MAX: usize = 512 * 1024;
/// Pixels of either side of an upload.
const UPLOAD_SIDE_MAX: u32 = 4_096;
/// Memory that decoding it may take.
const DECODING_BYTES_MAX: u64 = 96 << 20;
/// Pixels of a side of what is served.
const SIDE: u32 = 256;

/// Its address changes when it is set anew, so that it may be kept.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// Sets one's own picture.
pub(super) async fn put(State(api): State<Api>, caller: Caller, request: Request) -> Result<StatusCode, Problem> {
    let Some(format) = format_of(request.headers()) else {
        return Err(Problem::http(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::InvalidInput.as_str(),
            "expected image/png, image/jpeg or image/webp",
        ));
    };
    let bytes = collect(request.into_body(), UPLOAD_BYTES_MAX).await?;
    let drawn = api.background.run("avatar", move || redraw(&bytes, format)).await?;
    let png = drawn.map_err(|error| {
        tracing::debug!(%error, "an upload is no picture");
        Problem::invalid("this is no picture of that kind, or too large to decode")
    })?;
    if api.store.set_avatar(caller.user.id, &png).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::unauthenticated("the user is gone"))
    }
}

/// Takes one's own picture away.
pub(super) async fn delete(State(api): State<Api>, caller: Caller) -> Result<StatusCode, Problem> {
    api.store.remove_avatar(caller.user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Somebody's picture.
pub(super) async fn get(State(api): State<Api>, Path(id): Path<UserPath>) -> Result<Response, Problem> {
    let none = || Problem::new(ErrorCode::NotFound, "there is no such picture");
    let (png, _) = api.store.avatar(id.user().ok_or_else(none)?).await?.ok_or_else(none)?;
    let kind = HeaderValue::from_static("image/png");
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, KEEP)], RawBody::from(png)).into_response())
}

fn format_of(headers: &HeaderMap) -> Option<ImageFormat> {
    match headers.get(header::CONTENT_TYPE)?.to_str().ok()? {
        "image/png" => Some(ImageFormat::Png),
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/webp" => Some(ImageFormat::WebP),
        _ => None,
    }
}

/// A square picture of ours, whatever was in the upload beside pixels.
fn redraw(bytes: &[u8], format: ImageFormat) -> Result<Vec<u8>, ImageError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(UPLOAD_SIDE_MAX);
    limits.max_image_height = Some(UPLOAD_SIDE_MAX);
    limits.max_alloc = Some(DECODING_BYTES_MAX);
    reader.limits(limits);
    let square = reader.decode()?.resize_to_fill(SIDE, SIDE, FilterType::Triangle);
    let mut png = Cursor::new(Vec::new());
    DynamicImage::ImageRgba8(square.into_rgba8()).write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

#[cfg(test)]
mod tests {
    use image::{GenericImageView as _, Rgb, RgbImage};

    use super::*;

    fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image =
            RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
        DynamicImage::ImageRgb8(image).write_to(&mut bytes, format).expect("encoded");
        bytes.into_inner()
    }

    #[test]
    fn every_kind_becomes_a_square_of_ours() {
        for (format, width, height) in
            [(ImageFormat::Png, 600, 300), (ImageFormat::Jpeg, 300, 600), (ImageFormat::WebP, 32, 32)]
        {
            let png = redraw(&encoded(width, height, format), format).expect("a picture");
            let drawn = image::load_from_memory_with_format(&png, ImageFormat::Png).expect("PNG");
            assert_eq!(drawn.dimensions(), (SIDE, SIDE));
            let (left, right) = (drawn.get_pixel(8, 128), drawn.get_pixel(247, 128));
            assert!(left[0] > 200 && left[2] < 60 && right[2] > 200 && right[0] < 60, "{left:?} {right:?}");
            assert!(png.len() <= UPLOAD_BYTES_MAX);
        }
    }

    #[test]
    fn what_is_no_picture_of_that_kind_is_refused() {
        let png = encoded(40, 40, ImageFormat::Png);
        assert!(redraw(&png, ImageFormat::Jpeg).is_err());
        assert!(redraw(&png[..png.len() / 2], ImageFormat::Png).is_err());
        assert!(redraw(b"<svg onload=alert(1)>", ImageFormat::Png).is_err());
        assert!(redraw(&encoded(UPLOAD_SIDE_MAX + 1, 1, ImageFormat::Png), ImageFormat::Png).is_err());
    }

    #[test]
    fn what_hides_behind_the_pixels_is_left_behind() {
        let mut png = encoded(40, 40, ImageFormat::Png);
        png.extend_from_slice(b"<script>alert(1)</script>");
        let drawn = redraw(&png, ImageFormat::Png).expect("a picture");
        assert!(!drawn.windows(7).any(|bytes| bytes == b"<script"));
    }
}
