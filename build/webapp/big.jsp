<%-- Streams that many bytes: lines of 63 digits. With chunked=1 no
     Content-Length announces how many. --%>
<%@ page session="false" contentType="application/octet-stream" trimDirectiveWhitespaces="true" %>
<%
    String bytes = request.getParameter("bytes");
    long left = bytes == null ? 1048576 : Math.max(0, Long.parseLong(bytes));
    if (request.getParameter("chunked") == null) {
        response.setContentLengthLong(left);
    }
    byte[] block = new byte[32768];
    for (int i = 0; i < block.length; i++) {
        block[i] = (byte) (i % 64 == 63 ? '\n' : '0' + i % 64 % 10);
    }
    java.io.OutputStream body = response.getOutputStream();
    for (; left > 0; left -= block.length) {
        body.write(block, 0, (int) Math.min(left, block.length));
    }
    body.flush();
    out = pageContext.pushBody();
%>
